{{/*
The Collector's configuration: files/collector.yaml, which local stacks use as well, with what the values change, and
collector.config over it all.
*/}}
{{- define "mqtt-trace.collectorConfig" -}}
{{- $config := .Files.Get "files/collector.yaml" | fromYaml -}}
{{- if .Values.monitoring.podMonitor.enabled -}}
{{- $config = include "mqtt-trace.merged" (list $config (.Files.Get "files/collector-monitoring.yaml" | fromYaml)) | fromJson -}}
{{- end -}}
{{- $_ := set $config.extensions.file_storage "fsync" .Values.collector.persistence.fsync -}}
{{- $_ := set $config.service.telemetry "logs" (dict "output_paths" (list "stderr" "/var/log/otelcol/collector.log")) -}}
{{- $_ := set $config.service.telemetry "resource" (include "mqtt-trace.collectorResource" . | fromYaml) -}}
{{- include "mqtt-trace.setExporters" (list . $config) -}}
{{- if .Values.collector.tailSampling.enabled -}}
{{- $_ := set $config.processors "tail_sampling" (include "mqtt-trace.tailSampling" .Values.collector.tailSampling | fromYaml) -}}
{{- $traces := $config.service.pipelines.traces -}}
{{- $_ := set $traces "processors" (append $traces.processors "tail_sampling") -}}
{{- end -}}
{{- include "mqtt-trace.setDebug" (list . $config) -}}
{{- include "mqtt-trace.merged" (list $config .Values.collector.config) | fromJson | toYaml -}}
{{- end -}}

{{/* The resource of the Collector's own metrics and log. */}}
{{- define "mqtt-trace.collectorResource" -}}
attributes:
  - { name: service.namespace, value: mqtt-trace }
  - { name: k8s.pod.name, value: "${env:K8S_POD_NAME}" }
  - { name: k8s.namespace.name, value: "${env:K8S_NAMESPACE_NAME}" }
  - { name: k8s.node.name, value: "${env:K8S_NODE_NAME}" }
{{- end -}}

{{/* The processor of collector.tailSampling, the last of its pipeline: it makes new batches of what it keeps. */}}
{{- define "mqtt-trace.tailSampling" -}}
decision_wait: {{ int .decisionWaitSeconds }}s
# Spans of a retry or a redelivery come minutes later.
decision_cache: { sampled_cache_size: 100000, non_sampled_cache_size: 100000 }
policies:
  - { name: errors, type: status_code, status_code: { status_codes: [ERROR] } }
  - { name: slow, type: latency, latency: { threshold_ms: {{ int .slowMilliseconds }} } }
  - name: missing-context
    type: boolean_attribute
    boolean_attribute: { key: mqtt.missing_context, value: true }
  - { name: helm-test, type: string_attribute, string_attribute: { key: service.name, values: [mqtt-trace-check] } }
  {{- if gt (float64 .ratio) 0.0 }}
  - { name: ratio, type: probabilistic, probabilistic: { sampling_percentage: {{ mulf .ratio 100 | toJson }} } }
  {{- end }}
  {{- with .policies }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
