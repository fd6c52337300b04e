{{/* Environment variables. A container's own are a map, so that values can override them; see mqtt-trace.env. */}}

{{/* A list of variables from maps; later maps override earlier ones: (list $ours $theirs). A value that is a map is a valueFrom. */}}
{{- define "mqtt-trace.env" -}}
{{- $all := dict -}}
{{- range . }}{{ range $name, $value := . }}{{ $_ := set $all $name $value }}{{ end }}{{ end -}}
{{- range $name, $value := $all }}
- name: {{ $name }}
{{- if kindIs "map" $value }}
  valueFrom: {{- toYaml $value | nindent 4 }}
{{- else }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Endpoint and service name of a service's telemetry: (list . "mqtt-trace-producer"). */}}
{{- define "mqtt-trace.telemetryEnv" -}}
{{- $root := first . -}}
OTEL_SERVICE_NAME: {{ last . }}
OTEL_EXPORTER_OTLP_PROTOCOL: http/protobuf
{{- if include "mqtt-trace.hasCollector" $root }}
OTEL_EXPORTER_OTLP_ENDPOINT: http://{{ include "mqtt-trace.component" (list $root "otel-collector") }}:4318
{{- else }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ $root.Values.collector.external.endpoint }}
{{- end }}
{{- end -}}

{{/* Broker settings of a role: (list . "producer"). */}}
{{- define "mqtt-trace.mqttEnv" -}}
{{- $root := first . -}}
{{- $role := last . -}}
{{- $external := $root.Values.broker.external -}}
MQTT_BROKER_HOST: {{ $external.host | default (include "mqtt-trace.component" (list $root "mosquitto")) | quote }}
MQTT_BROKER_PORT: {{ include "mqtt-trace.brokerPort" $root | quote }}
{{- if not $external.host }}
MQTT_USERNAME: {{ $role }}
MQTT_PASSWORD:
  secretKeyRef: { name: {{ include "mqtt-trace.authSecret" $root | quote }}, key: {{ $role }}-password }
{{- else if $external.existingSecret }}
MQTT_USERNAME:
  secretKeyRef: { name: {{ $external.existingSecret | quote }}, key: username }
MQTT_PASSWORD:
  secretKeyRef: { name: {{ $external.existingSecret | quote }}, key: password }
{{- end }}
{{- if ternary $external.tls $root.Values.broker.tls.enabled (not (empty $external.host)) }}
MQTT_TLS: "true"
{{- end }}
{{- if include "mqtt-trace.caSecret" $root }}
MQTT_TLS_CA_FILE: /etc/mqtt-trace/tls/ca.crt
{{- end }}
{{- end -}}

{{/* The volume behind MQTT_TLS_CA_FILE, or nothing. */}}
{{- define "mqtt-trace.caVolume" -}}
{{- with include "mqtt-trace.caSecret" . -}}
- name: ca
  secret:
    secretName: {{ . | quote }}
    items: [{ key: ca.crt, path: ca.crt }]
{{- end -}}
{{- end -}}

{{- define "mqtt-trace.caMount" -}}
{{- if include "mqtt-trace.caSecret" . -}}
- { name: ca, mountPath: /etc/mqtt-trace/tls, readOnly: true }
{{- end -}}
{{- end -}}
