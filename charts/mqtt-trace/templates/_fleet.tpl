{{/*
The pods of fleets, as the operator gets them: all that is not a fleet's own. They have no account of their own, for they may
be in a namespace that has nothing of the release.
*/}}
{{- define "mqtt-trace.fleetPod" -}}
{{- $telemetry := include "mqtt-trace.telemetryEnv" (list . "mqtt-trace-producer") | fromYaml }}
{{- $mqtt := include "mqtt-trace.mqttEnv" (list . "producer") | fromYaml }}
{{- if .Values.operator.clusterWide }}
{{- if include "mqtt-trace.hasBroker" . }}
{{- $_ := set $mqtt "MQTT_BROKER_HOST" (printf "%s.%s" $mqtt.MQTT_BROKER_HOST .Release.Namespace) }}
{{- end }}
{{- if include "mqtt-trace.hasCollector" . }}
{{- $host := include "mqtt-trace.component" (list . "otel-collector") }}
{{- $_ := set $telemetry "OTEL_EXPORTER_OTLP_ENDPOINT" (printf "http://%s.%s:4318" $host .Release.Namespace) }}
{{- end }}
{{- end -}}
metadata:
  labels:
    {{- include "mqtt-trace.podLabels" (list . "fleet") | nindent 4 }}
    mqtt-trace.io/access-broker: "true"
    mqtt-trace.io/access-collector: "true"
  annotations:
    checksum/auth: {{ toJson .Values.auth | sha256sum }}
spec:
  {{- include "mqtt-trace.pod" (dict "root" . "user" 10001) | nindent 2 }}
  containers:
    - name: producer
      image: {{ include "mqtt-trace.image" (list . .Values.producer.image) }}
      imagePullPolicy: {{ .Values.imagePullPolicy }}
      env: {{- include "mqtt-trace.env" (list $telemetry $mqtt .Values.producer.env) | trim | nindent 8 }}
      ports:
        - { name: health, containerPort: 8080, protocol: TCP }
      {{- include "mqtt-trace.probes" (dict "port" "health" "ready" "/ready") | nindent 6 }}
      resources: {{- toYaml .Values.producer.resources | nindent 8 }}
      securityContext: {{- include "mqtt-trace.containerSecurity" . | nindent 8 }}
      {{- with include "mqtt-trace.caMount" . }}
      volumeMounts: {{- . | nindent 8 }}
      {{- end }}
  {{- with include "mqtt-trace.caVolume" . }}
  volumes: {{- . | nindent 4 }}
  {{- end }}
{{- end -}}
