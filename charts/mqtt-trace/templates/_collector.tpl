{{/* The Collector's configuration: that of local stacks, with exporters and sampling, and collector.config over it all. */}}
{{- define "mqtt-trace.collectorConfig" -}}
{{- $config := .Files.Get "files/collector.yaml" | fromYaml -}}
{{- if .Values.monitoring.podMonitor.enabled -}}
{{- $config = include "mqtt-trace.merged" (list $config (.Files.Get "files/collector-monitoring.yaml" | fromYaml)) | fromYaml -}}
{{- end -}}
{{- $pipelines := $config.service.pipelines -}}
{{- $template := omit (get $config.exporters "otlp_http/b14") "auth" -}}
{{- if not (include "mqtt-trace.hasScout" .) -}}
{{- $_ := unset $config.exporters "otlp_http/b14" -}}
{{- $_ := unset $config.extensions "oauth2client" -}}
{{- $_ := set $config.service "extensions" (without $config.service.extensions "oauth2client") -}}
{{- range $pipeline := $pipelines -}}
{{- $_ := set $pipeline "exporters" (without $pipeline.exporters "otlp_http/b14") -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config.service.telemetry "resource" (include "mqtt-trace.collectorResource" . | fromYaml) -}}
{{- range $name, $exporter := .Values.collector.exporters -}}
{{- $id := include "mqtt-trace.exporterId" (list $name $exporter) -}}
{{- $headers := include "mqtt-trace.exporterHeaders" (list $name $exporter) | fromYaml -}}
{{- $own := mergeOverwrite (deepCopy $template) (dict "endpoint" $exporter.endpoint) -}}
{{- if $headers }}{{ $_ := set $own "headers" $headers }}{{ end -}}
{{- if and (eq $exporter.protocol "grpc") (hasPrefix "http://" $exporter.endpoint) }}{{ $_ := set $own "tls" (dict "insecure" true) }}{{ end -}}
{{- $_ := set $config.exporters $id $own -}}
{{- range include "mqtt-trace.exporterSignals" $exporter | fromYamlArray -}}
{{- $pipeline := get $pipelines . -}}
{{- $_ := set $pipeline "exporters" (append $pipeline.exporters $id) -}}
{{- end -}}
{{- end -}}
{{- if .Values.collector.tailSampling.enabled -}}
{{- $_ := set $config.processors "tail_sampling" (include "mqtt-trace.tailSampling" .Values.collector.tailSampling | fromYaml) -}}
{{- $_ := set $pipelines.traces "processors" (append $pipelines.traces.processors "tail_sampling") -}}
{{- end -}}
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

{{/* The Collector's name of an exporter: (list "tempo" .Values.collector.exporters.tempo). */}}
{{- define "mqtt-trace.exporterId" -}}
{{- eq (last .).protocol "grpc" | ternary "otlp_grpc" "otlp_http" }}/{{ first . -}}
{{- end -}}

{{/* The signals of an exporter, as a YAML list. */}}
{{- define "mqtt-trace.exporterSignals" -}}
{{- .signals | default (list "traces" "metrics" "logs") | toYaml -}}
{{- end -}}

{{/* Headers of an exporter: (list $name $exporter). The values of Secrets come from variables; in others, a dollar is a dollar. */}}
{{- define "mqtt-trace.exporterHeaders" -}}
{{- $headers := dict -}}
{{- range $header, $value := (last .).headers -}}
{{- $text := kindIs "map" $value | ternary (printf "${env:%s}" (include "mqtt-trace.headerVariable" (list (first $) $header))) (toString $value | replace "$" "$$") -}}
{{- $_ := set $headers $header $text -}}
{{- end -}}
{{- toYaml $headers -}}
{{- end -}}

{{/* The variable with the value of a header: (list "tempo" "Authorization"). */}}
{{- define "mqtt-trace.headerVariable" -}}
{{- printf "EXPORTER_%s__%s" (first .) (last .) | upper | replace "-" "_" -}}
{{- end -}}

{{/* The variables with the values of all headers that come from Secrets, as a map. */}}
{{- define "mqtt-trace.exporterEnv" -}}
{{- $env := dict -}}
{{- range $name, $exporter := .Values.collector.exporters -}}
{{- range $header, $value := $exporter.headers -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $env (include "mqtt-trace.headerVariable" (list $name $header)) $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* The Collector's names of the exporters that get traces, but for the one to scout-sim, as a YAML list. */}}
{{- define "mqtt-trace.traceExporters" -}}
{{- $ids := list -}}
{{- if and (include "mqtt-trace.hasScout" .) (not (include "mqtt-trace.hasScoutSim" .)) -}}
{{- $ids = append $ids "otlp_http/b14" -}}
{{- end -}}
{{- range $name, $exporter := .Values.collector.exporters -}}
{{- if has "traces" (include "mqtt-trace.exporterSignals" $exporter | fromYamlArray) -}}
{{- $ids = append $ids (include "mqtt-trace.exporterId" (list $name $exporter)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $ids -}}
{{- end -}}

{{/* Egress to the backends of collector.exporters and to proxies, by port, or nothing. */}}
{{- define "mqtt-trace.egressToBackends" -}}
{{- $ports := .Values.networkPolicy.collectorPorts -}}
{{- range .Values.collector.exporters -}}
{{- $ports = append $ports (include "mqtt-trace.urlPort" .endpoint | int) -}}
{{- end -}}
{{- range $url := include "mqtt-trace.proxyEnv" . | fromYaml -}}
{{- if and (kindIs "string" $url) (regexMatch "^https?://" $url) -}}
{{- $port := regexFind "[0-9]+" (regexFind ":[0-9]{1,5}/?$" $url) | default (hasPrefix "https" $url | ternary "443" "80") -}}
{{- $ports = append $ports (int $port) -}}
{{- end -}}
{{- end -}}
{{- with $ports }}
{{- include "mqtt-trace.egressByPort" (. | sortAlpha | uniq) }}
{{- end }}
{{- end -}}

{{/* The variables of collector.env that name proxies, and the hosts that need none. */}}
{{- define "mqtt-trace.proxyEnv" -}}
{{- $env := .Values.collector.env | default dict -}}
{{- pick $env "HTTPS_PROXY" "https_proxy" "HTTP_PROXY" "http_proxy" "NO_PROXY" "no_proxy" | toYaml -}}
{{- end -}}

{{/* The volume with collector.caBundle as ca.crt, or nothing. */}}
{{- define "mqtt-trace.caBundleVolume" -}}
{{- $bundle := .Values.collector.caBundle -}}
{{- with $bundle.secretKeyRef }}
- name: ca-bundle
  secret:
    secretName: {{ .name | quote }}
    items: [{ key: {{ .key | quote }}, path: ca.crt }]
{{- end }}
{{- with $bundle.configMapKeyRef }}
- name: ca-bundle
  configMap:
    name: {{ .name | quote }}
    items: [{ key: {{ .key | quote }}, path: ca.crt }]
{{- end }}
{{- end -}}

{{- define "mqtt-trace.caBundleMount" -}}
{{- with .Values.collector.caBundle }}
- { name: ca-bundle, mountPath: /etc/mqtt-trace/ca, readOnly: true }
{{- end }}
{{- end -}}
