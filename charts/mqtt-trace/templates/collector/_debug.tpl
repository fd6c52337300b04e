{{/*
Writes collector.debug into a configuration: (list . $config).

The exporter's own sampling counts texts that are alike, and no two spans are, so whole traces are sampled by their ids,
as OpenTelemetry's samplers do: the last 56 bits are a random number.
*/}}
{{- define "mqtt-trace.setDebug" -}}
{{- $config := last . -}}
{{- $debug := (first .).Values.collector.debug -}}
{{- $_ := set $config.exporters.debug "verbosity" $debug.verbosity -}}
{{- $sampled := and $debug.enabled (lt (float64 $debug.samplingPercentage) 100.0) -}}
{{- $pipelines := deepCopy $config.service.pipelines -}}
{{- range $signal, $pipeline := $config.service.pipelines -}}
{{- if has "debug" $pipeline.exporters -}}
{{- if or (not $debug.enabled) (and $sampled (ne $signal "metrics")) -}}
{{- $_ := set (get $pipelines $signal) "exporters" (without $pipeline.exporters "debug") -}}
{{- end -}}
{{- if and $sampled (ne $signal "metrics") -}}
{{- $processors := append $pipeline.processors "filter/debug" -}}
{{- $_ := set $pipelines (printf "%s/debug" $signal) (dict "receivers" $pipeline.receivers "processors" $processors "exporters" (list "debug")) -}}
{{- end -}}
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
{{- end -}}
