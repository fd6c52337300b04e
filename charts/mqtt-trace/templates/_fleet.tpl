{{/*
The pods of fleets, as the operator gets them: all that is not a fleet's own. They are the producer's, without an account of
their own, for they may be in a namespace that has nothing of the release.
*/}}
{{- define "mqtt-trace.fleetPod" -}}
{{- $own := include "mqtt-trace.producer" . | fromYaml -}}
{{- $values := .Values.producer -}}
{{- if .Values.operator.clusterWide -}}
{{- $namespace := include "mqtt-trace.namespace" . -}}
{{- if include "mqtt-trace.hasBroker" . -}}
{{- $_ := set $own.env "MQTT_BROKER_HOST" (printf "%s.%s" $own.env.MQTT_BROKER_HOST $namespace) -}}
{{- end -}}
{{- if include "mqtt-trace.hasCollector" . -}}
{{- $endpoint := printf "http://%s.%s:4318" (include "mqtt-trace.component" (list . "otel-collector")) $namespace -}}
{{- $values = merge (dict "env" (merge (dict) ($values.env | default dict) (dict "OTEL_EXPORTER_OTLP_ENDPOINT" $endpoint))) $values -}}
{{- end -}}
{{- end -}}
{{- include "mqtt-trace.podTemplate" (dict "root" . "component" "fleet" "values" $values "own" $own) -}}
{{- end -}}
