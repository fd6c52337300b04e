{{/*
A component's Service: (dict "root" . "component" "echo" "values" .Values.echo "ports" (list (dict "name" "http" "port" 8000))).
The ports of a pod have the same names.
*/}}
{{- define "mqtt-trace.service" -}}
{{- $settings := include "mqtt-trace.merged" (list .root.Values.service (.values.service | default dict)) | fromJson -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "mqtt-trace.metadata" (list .root .component) | nindent 2 }}
  {{- with $settings.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector: {{- include "mqtt-trace.selectorLabels" (list .root .component) | nindent 4 }}
  {{- with omit $settings "annotations" "nodePort" }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
    {{- range $index, $port := .ports }}
    - name: {{ $port.name }}
      port: {{ $port.port }}
      targetPort: {{ $port.name }}
      {{- if and $settings.nodePort (eq $index 0) }}
      nodePort: {{ int $settings.nodePort }}
      {{- end }}
    {{- end }}
{{- end -}}

{{/* The headless Service that a StatefulSet needs: (dict "root" . "component" "consumer" "name" "consumer" "ports" …). */}}
{{- define "mqtt-trace.headlessService" -}}
apiVersion: v1
kind: Service
metadata: {{- include "mqtt-trace.metadata" (list .root .component (include "mqtt-trace.component" (list .root .name))) | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{- include "mqtt-trace.selectorLabels" (list .root .component) | nindent 4 }}
  {{- with .root.Values.service }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
    {{- range .ports }}
    - { name: {{ .name }}, port: {{ .port }}, targetPort: {{ .name }} }
    {{- end }}
{{- end -}}
