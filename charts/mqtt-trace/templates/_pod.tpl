{{/* Parts of pods. */}}

{{/* The fields of every pod: (dict "root" . "component" "producer" "user" 10001). Without a component, the pod has no service account of its own. */}}
{{- define "mqtt-trace.pod" -}}
{{- $values := .root.Values -}}
{{- with .component }}
serviceAccountName: {{ include "mqtt-trace.component" (list $.root .) }}
{{- end }}
automountServiceAccountToken: false
# Otherwise, a Service called `echo` would set ECHO_PORT, which a service would read as its own setting.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with $values.global.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "mqtt-trace.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Probes of one of our services after its start: (dict "port" "health" "ready" "/ready"). */}}
{{- define "mqtt-trace.probes" -}}
startupProbe:
  httpGet: { path: /health, port: {{ .port }} }
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: { path: {{ .ready }}, port: {{ .port }} }
  periodSeconds: 2
  timeoutSeconds: 3
livenessProbe:
  httpGet: { path: /health, port: {{ .port }} }
  periodSeconds: 10
  timeoutSeconds: 5
{{- end -}}

{{/* A claim of a StatefulSet: (dict "root" . "component" "mosquitto" "persistence" .Values.broker.persistence). */}}
{{- define "mqtt-trace.claim" -}}
persistentVolumeClaimRetentionPolicy:
  whenDeleted: Delete
  whenScaled: Retain
volumeClaimTemplates:
  - metadata:
      name: data
      labels: {{- include "mqtt-trace.selectorLabels" (list .root .component) | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .persistence.storageClass }}
      storageClassName: {{ . | quote }}
      {{- end }}
      resources:
        requests:
          storage: {{ .persistence.size }}
{{- end -}}
