{{/* Environment variables. A container's own are a map, so that values can override them; see mqtt-trace.env. */}}

{{/*
A list of variables from maps; later maps override earlier ones, and null removes one: (list $ours $theirs). A value that is a
map is a valueFrom; those come first, so that others can refer to them as $(NAME).
*/}}
{{- define "mqtt-trace.env" -}}
{{- $all := dict -}}
{{- range . -}}
{{- range $name, $value := . -}}
{{- if kindIs "invalid" $value }}{{ $_ := unset $all $name }}{{ else }}{{ $_ := set $all $name $value }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $all }}
{{- if kindIs "map" $value }}
- name: {{ $name | quote }}
  valueFrom: {{- toYaml $value | nindent 4 }}
{{- end }}
{{- end }}
{{- range $name, $value := $all }}
{{- if not (kindIs "map" $value) }}
- name: {{ $name | quote }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The pod's name, namespace and node, for the resource of its telemetry. */}}
{{- define "mqtt-trace.downwardEnv" -}}
K8S_POD_NAME:
  fieldRef: { fieldPath: metadata.name }
K8S_NAMESPACE_NAME:
  fieldRef: { fieldPath: metadata.namespace }
K8S_NODE_NAME:
  fieldRef: { fieldPath: spec.nodeName }
{{- end -}}

{{/* Attributes of a resource, for a version, as OTEL_RESOURCE_ATTRIBUTES has them; they refer to mqtt-trace.downwardEnv. */}}
{{- define "mqtt-trace.resourceAttributes" -}}
k8s.pod.name=$(K8S_POD_NAME),k8s.namespace.name=$(K8S_NAMESPACE_NAME),k8s.node.name=$(K8S_NODE_NAME),service.namespace=mqtt-trace,service.version={{ . }}
{{- end -}}

{{/* Endpoint, name and resource of a service's telemetry: (list . "mqtt-trace-producer" .Values.producer). */}}
{{- define "mqtt-trace.telemetryEnv" -}}
{{- $root := first . -}}
{{- $values := last . -}}
OTEL_SERVICE_NAME: {{ index . 1 | quote }}
OTEL_EXPORTER_OTLP_PROTOCOL: http/protobuf
{{- if include "mqtt-trace.hasCollector" $root }}
OTEL_EXPORTER_OTLP_ENDPOINT: http://{{ include "mqtt-trace.component" (list $root "otel-collector") }}:4318
{{- else }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ $root.Values.collector.external.endpoint | quote }}
{{- end }}
{{- if and (lt (float64 $root.Values.sampling.ratio) 1.0) (ne (index . 1) "mqtt-trace-check") }}
OTEL_TRACES_SAMPLER: parentbased_traceidratio
OTEL_TRACES_SAMPLER_ARG: {{ toString $root.Values.sampling.ratio | quote }}
{{- end }}
{{ include "mqtt-trace.downwardEnv" $root }}
{{- $attributes := list (include "mqtt-trace.resourceAttributes" ($values.image.tag | default $root.Chart.AppVersion)) }}
{{- with get ($values.env | default dict) "OTEL_RESOURCE_ATTRIBUTES" }}
{{- if kindIs "map" . }}
USER_RESOURCE_ATTRIBUTES: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $attributes = append $attributes (kindIs "map" . | ternary "$(USER_RESOURCE_ATTRIBUTES)" .) }}
{{- end }}
OTEL_RESOURCE_ATTRIBUTES: {{ join "," $attributes | quote }}
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
{{- if $external.clientSecret }}
MQTT_TLS_CERT_FILE: /etc/mqtt-trace/client/tls.crt
MQTT_TLS_KEY_FILE: /etc/mqtt-trace/client/tls.key
{{- end }}
{{- end -}}

{{/* The volumes behind MQTT_TLS_CA_FILE and MQTT_TLS_CERT_FILE, if any. */}}
{{- define "mqtt-trace.mqttVolumes" -}}
{{- with include "mqtt-trace.caSecret" . }}
- name: ca
  secret:
    secretName: {{ . | quote }}
    items: [{ key: ca.crt, path: ca.crt }]
{{- end }}
{{- with .Values.broker.external.clientSecret }}
- name: client
  secret:
    secretName: {{ . | quote }}
    items: [{ key: tls.crt, path: tls.crt }, { key: tls.key, path: tls.key }]
{{- end }}
{{- end -}}

{{- define "mqtt-trace.mqttMounts" -}}
{{- if include "mqtt-trace.caSecret" . }}
- { name: ca, mountPath: /etc/mqtt-trace/tls, readOnly: true }
{{- end }}
{{- if .Values.broker.external.clientSecret }}
- { name: client, mountPath: /etc/mqtt-trace/client, readOnly: true }
{{- end }}
{{- end -}}
