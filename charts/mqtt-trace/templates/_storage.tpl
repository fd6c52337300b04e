{{/* Volumes of StatefulSets. */}}

{{/* Claim and retention of a StatefulSet, or nothing: (dict "root" . "component" "mosquitto" "persistence" .Values.broker.persistence). */}}
{{- define "mqtt-trace.claim" -}}
{{- if and .persistence.enabled (not .persistence.existingClaim) -}}
persistentVolumeClaimRetentionPolicy:
  whenDeleted: {{ .persistence.retentionPolicy }}
  whenScaled: Retain
volumeClaimTemplates:
  - metadata:
      name: data
      labels: {{- include "mqtt-trace.selectorLabels" (list .root .component) | nindent 8 }}
      {{- with .persistence.annotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      accessModes: {{- toYaml .persistence.accessModes | nindent 8 }}
      {{- with .persistence.storageClass }}
      storageClassName: {{ . | quote }}
      {{- end }}
      resources:
        requests:
          storage: {{ .persistence.size | quote }}
{{- end -}}
{{- end -}}

{{/* The volume `data` of a pod where no claim template makes it, as a list: .Values.broker.persistence. */}}
{{- define "mqtt-trace.dataVolume" -}}
{{- if not .enabled }}
- { name: data, emptyDir: {} }
{{- else if .existingClaim }}
- name: data
  persistentVolumeClaim: { claimName: {{ .existingClaim | quote }} }
{{- end -}}
{{- end -}}

{{/* A size of the schema, such as 512Mi or 1.5Gi, in bytes. */}}
{{- define "mqtt-trace.bytes" -}}
{{- include "mqtt-trace.quantity" . | float64 | int64 -}}
{{- end -}}

{{/* A quantity of Kubernetes, such as 250m or 1.5Gi, as a number. */}}
{{- define "mqtt-trace.quantity" -}}
{{- $decimal := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 -}}
{{- $binary := dict "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- $text := toString . -}}
{{- if kindIs "string" . }}{{ mulf (regexFind "^[0-9.]+" $text | float64) (get (merge $decimal $binary) (regexFind "[A-Za-z]*$" $text)) }}{{ else }}{{ . }}{{ end -}}
{{- end -}}
