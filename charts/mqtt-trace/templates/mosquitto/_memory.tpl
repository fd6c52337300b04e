{{/*
Bounds of Mosquitto's memory in KiB, from the limit of its container; nothing without a limit. It refuses messages from `full`
on until less than `open` is in use, and never gets more than `most`: the rest is for buffers of the kernel.
*/}}
{{- define "mqtt-trace.mosquittoMemory" -}}
{{- with dig "limits" "memory" "" (.Values.broker.resources | default dict) -}}
{{- $kib := divf (include "mqtt-trace.bytes" . | float64) 1024 -}}
full: {{ mulf $kib 0.6 | int64 }}
open: {{ mulf $kib 0.5 | int64 }}
most: {{ mulf $kib 0.85 | int64 }}
{{- end -}}
{{- end -}}
