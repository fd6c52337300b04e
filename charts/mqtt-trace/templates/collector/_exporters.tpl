{{/* Exporters of the Collector. */}}

{{/* Writes the exporters into a configuration and its pipelines, and leaves Scout's out if it gets nothing: (list . $config). */}}
{{- define "mqtt-trace.setExporters" -}}
{{- $root := first . -}}
{{- $config := last . -}}
{{- $pipelines := $config.service.pipelines -}}
{{- $scout := get $config.exporters "otlp_http/b14" -}}
{{- $_ := set $scout.sending_queue "queue_size" (include "mqtt-trace.collectorQueueSize" $root | int64) -}}
{{- if not (include "mqtt-trace.hasScout" $root) -}}
{{- $_ := unset $config.exporters "otlp_http/b14" -}}
{{- $_ := unset $config.extensions "oauth2client" -}}
{{- $_ := set $config.service "extensions" (without $config.service.extensions "oauth2client") -}}
{{- range $pipeline := $pipelines -}}
{{- $_ := set $pipeline "exporters" (without $pipeline.exporters "otlp_http/b14") -}}
{{- end -}}
{{- end -}}
{{- range $name, $exporter := $root.Values.collector.exporters -}}
{{- $id := include "mqtt-trace.exporterId" (list $name $exporter) -}}
{{- $headers := include "mqtt-trace.exporterHeaders" (list $name $exporter) | fromYaml -}}
{{- $own := mergeOverwrite (omit (deepCopy $scout) "auth") (dict "endpoint" $exporter.endpoint) -}}
{{- if $headers }}{{ $_ := set $own "headers" $headers }}{{ end -}}
{{- if and (eq $exporter.protocol "grpc") (hasPrefix "http://" $exporter.endpoint) }}{{ $_ := set $own "tls" (dict "insecure" true) }}{{ end -}}
{{- $_ := set $config.exporters $id $own -}}
{{- range include "mqtt-trace.exporterSignals" $exporter | fromYamlArray -}}
{{- $pipeline := get $pipelines . -}}
{{- $_ := set $pipeline "exporters" (append $pipeline.exporters $id) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Bytes of a queue: each signal of each exporter has one. On disk, each takes up to three times its size: bbolt fills its
pages by half, and requests of one span are smaller than a page. The rest of the volume is for compaction and damaged files.
*/}}
{{- define "mqtt-trace.collectorQueueSize" -}}
{{- $queues := include "mqtt-trace.hasScout" . | empty | ternary 0 3 -}}
{{- range .Values.collector.exporters -}}
{{- $queues = add $queues (include "mqtt-trace.exporterSignals" . | fromYamlArray | len) -}}
{{- end -}}
{{- div (mul 3 (include "mqtt-trace.bytes" .Values.collector.persistence.size | int64)) (mul 10 (max 1 $queues)) -}}
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
{{- range $name, $url := include "mqtt-trace.proxyEnv" . | fromYaml -}}
{{- if and (kindIs "string" $url) (ne (lower $name) "no_proxy") -}}
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
