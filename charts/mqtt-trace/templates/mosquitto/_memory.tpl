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

{{/* A quantity of Kubernetes, such as 512Mi, in bytes. */}}
{{- define "mqtt-trace.bytes" -}}
{{- $quantity := kindIs "string" . | ternary (toString .) (toString (int64 (kindIs "string" . | ternary 0 .))) -}}
{{- $factors := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- mulf (regexFind "^[0-9.]+" $quantity | float64) (get $factors (regexFind "[A-Za-z]*$" $quantity)) | int64 -}}
{{- end -}}
