{{/*
The pods of fleets, as the operator gets them: all that is not a fleet's own. They are the producer's, without an account of
their own, for they may be in a namespace that has nothing of the release.
*/}}
{{- define "mqtt-trace.fleetPod" -}}
{{- $own := include "mqtt-trace.producer" . | fromYaml -}}
{{- if include "mqtt-trace.hasFleetsElsewhere" . -}}
{{- $namespace := include "mqtt-trace.namespace" . -}}
{{- if include "mqtt-trace.hasBroker" . -}}
{{- $_ := set $own.env "MQTT_BROKER_HOST" (printf "%s.%s" $own.env.MQTT_BROKER_HOST $namespace) -}}
{{- end -}}
{{- if include "mqtt-trace.hasCollector" . -}}
{{- $_ := set $own.env "OTEL_EXPORTER_OTLP_ENDPOINT" (printf "http://%s.%s:4318" (include "mqtt-trace.component" (list . "otel-collector")) $namespace) -}}
{{- end -}}
{{- end -}}
{{- include "mqtt-trace.podTemplate" (dict "root" . "component" "fleet" "values" .Values.producer "own" $own) -}}
{{- end -}}

{{/* The namespaces whose fleets the operator manages, as a YAML list; nothing for all. */}}
{{- define "mqtt-trace.fleetNamespaces" -}}
{{- if not .Values.operator.clusterWide }}{{ .Values.operator.namespaces | default (list (include "mqtt-trace.namespace" .)) | toYaml }}{{ end -}}
{{- end -}}

{{/* Whether fleets may be in other namespaces than the release's: "true" or nothing. */}}
{{- define "mqtt-trace.hasFleetsElsewhere" -}}
{{- if ne (include "mqtt-trace.fleetNamespaces" .) (list (include "mqtt-trace.namespace" .) | toYaml) }}true{{ end -}}
{{- end -}}
