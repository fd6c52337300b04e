{{/* The Collector's configuration: files/collector.yaml with what the values change. */}}

{{- define "mqtt-trace.collectorConfig" -}}
{{- $config := .Files.Get "files/collector.yaml" | fromYaml -}}
{{- $_ := set $config.extensions.file_storage "fsync" .Values.collector.persistence.fsync -}}
{{- range $exporter := $config.exporters -}}
{{- with $exporter.sending_queue -}}
{{- $_ := set . "queue_size" (include "mqtt-trace.collectorQueueSize" $ | int64) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config.service.telemetry "logs" (dict "output_paths" (list "stderr" "/var/log/otelcol/collector.log")) -}}
{{- include "mqtt-trace.collectorDebug" (list . $config) -}}
{{- end -}}

{{/*
Bytes of a queue. A volume has three of them. On disk, each takes up to three times its size: bbolt fills its pages by
half, and requests of one span are smaller than a page. The rest of the volume is for compaction and damaged files.
*/}}
{{- define "mqtt-trace.collectorQueueSize" -}}
{{- div (include "mqtt-trace.bytes" .Values.collector.persistence.size | int64) 10 -}}
{{- end -}}

{{/* The bytes of a size such as 4Gi, as the schema has them. */}}
{{- define "mqtt-trace.bytes" -}}
{{- $units := dict "M" 1000000 "G" 1000000000 "T" 1000000000000 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mul (regexFind "^[0-9]+" . | int64) (get $units (regexFind "[A-Za-z]+$" .) | int64) -}}
{{- end -}}

{{/*
A configuration with the debug exporter as collector.debug has it: (list . $config).

The exporter's own sampling counts texts that are alike, and no two spans are, so whole traces are sampled by their ids,
as OpenTelemetry's samplers do: the last 56 bits are a random number.
*/}}
{{- define "mqtt-trace.collectorDebug" -}}
{{- $config := last . -}}
{{- $debug := (first .).Values.collector.debug -}}
{{- $_ := set $config.exporters.debug "verbosity" $debug.verbosity -}}
{{- $sampled := and $debug.enabled (lt (float64 $debug.samplingPercentage) 100.0) -}}
{{- $pipelines := deepCopy $config.service.pipelines -}}
{{- range $signal, $pipeline := $config.service.pipelines -}}
{{- if or (not $debug.enabled) (and $sampled (ne $signal "metrics")) -}}
{{- $_ := set (get $pipelines $signal) "exporters" (without $pipeline.exporters "debug") -}}
{{- end -}}
{{- if and $sampled (ne $signal "metrics") -}}
{{- $processors := append $pipeline.processors "filter/debug" -}}
{{- $_ := set $pipelines (printf "%s/debug" $signal) (dict "receivers" $pipeline.receivers "processors" $processors "exporters" (list "debug")) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config.service "pipelines" $pipelines -}}
{{- if not $debug.enabled }}{{ $_ := unset $config.exporters "debug" }}{{ end -}}
{{- if $sampled -}}
{{- $dropped := mulf (subf 100.0 $debug.samplingPercentage) 720575940379279.0 | int64 -}}
{{- $condition := printf "ParseInt(Substring(trace_id.string, 18, 14), 16) < %d" $dropped -}}
{{- $filter := dict "error_mode" "silent" "traces" (dict "span" (list $condition)) "logs" (dict "log_record" (list $condition)) -}}
{{- $_ := set $config.processors "filter/debug" $filter -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
