{{/* Secrets that the chart generates, and pods that start again when a Secret has changed. */}}

{{/*
The revision of the release at which a generated Secret got its values: (list . "name"). It is 1 for a render without a
cluster, stays the same while an upgrade finds the Secret as it was written, and is new when somebody has deleted or
changed it.
*/}}
{{- define "mqtt-trace.secretRevision" -}}
{{- $root := first . -}}
{{- $secret := lookup "v1" "Secret" (include "mqtt-trace.namespace" $root) (last .) | default dict -}}
{{- $annotations := dig "metadata" "annotations" dict $secret | default dict -}}
{{- $written := get $annotations "mqtt-trace.io/checksum" -}}
{{- if not $secret }}{{ int $root.Release.Revision }}
{{- else if not $written }}1
{{- else if eq $written ($secret.data | default dict | toJson | sha256sum) }}{{ get $annotations "mqtt-trace.io/revision" }}
{{- else }}{{ int $root.Release.Revision }}
{{- end -}}
{{- end -}}

{{/* Annotations of a generated Secret: (list . "name" $data). */}}
{{- define "mqtt-trace.generatedAnnotations" -}}
mqtt-trace.io/revision: {{ include "mqtt-trace.secretRevision" (list (first .) (index . 1)) | quote }}
mqtt-trace.io/checksum: {{ last . | toJson | sha256sum | quote }}
{{- end -}}

{{/* What changes with the values of a Secret: (list . "name" "name of the user's own"). Without a cluster, nothing does. */}}
{{- define "mqtt-trace.secretState" -}}
{{- if last . -}}
{{- (lookup "v1" "Secret" (include "mqtt-trace.namespace" (first .)) (last .) | default dict).data | toJson -}}
{{- else -}}
{{- include "mqtt-trace.secretRevision" (list (first .) (index . 1)) -}}
{{- end -}}
{{- end -}}

{{/* Changes when the passwords of the broker's clients do, or the authority that they trust. */}}
{{- define "mqtt-trace.authChecksum" -}}
{{- $states := list .Values.auth -}}
{{- if include "mqtt-trace.hasBroker" . -}}
{{- $states = append $states (include "mqtt-trace.secretState" (list . (include "mqtt-trace.authSecret" .) .Values.auth.existingSecret)) -}}
{{- if .Values.broker.tls.enabled -}}
{{- $states = append $states (include "mqtt-trace.secretState" (list . (include "mqtt-trace.tlsSecret" .) .Values.broker.tls.existingSecret)) -}}
{{- end -}}
{{- else -}}
{{- range $name := list .Values.broker.external.existingSecret .Values.broker.external.caSecret .Values.broker.external.clientSecret | compact -}}
{{- $states = append $states (include "mqtt-trace.secretState" (list $ $name $name)) -}}
{{- end -}}
{{- end -}}
{{- toJson $states | sha256sum -}}
{{- end -}}

{{/* Changes when the credentials of Scout or of scout-sim do. */}}
{{- define "mqtt-trace.scoutChecksum" -}}
{{- $state := "" -}}
{{- if or (include "mqtt-trace.hasScoutSim" .) .Values.scout.existingSecret -}}
{{- $state = include "mqtt-trace.secretState" (list . (include "mqtt-trace.scoutSecret" .) .Values.scout.existingSecret) -}}
{{- end -}}
{{- list .Values.scout .Values.scoutSim.clientSecret $state | toJson | sha256sum -}}
{{- end -}}

{{/* Changes when a Secret of collector.exporters does, or what is in collector.caBundle. */}}
{{- define "mqtt-trace.backendsChecksum" -}}
{{- include "mqtt-trace.referencesChecksum" (list . (include "mqtt-trace.exporterEnv" . | fromYaml) .Values.collector.caBundle) -}}
{{- end -}}

{{/* Changes when a Secret or ConfigMap does that values refer to, as Kubernetes' objects do; nothing if they refer to none: (list . $values …). */}}
{{- define "mqtt-trace.referencesChecksum" -}}
{{- $root := first . -}}
{{- $states := dict -}}
{{- range include "mqtt-trace.references" (rest .) | fromYamlArray -}}
{{- $object := lookup "v1" .kind (include "mqtt-trace.namespace" $root) .name | default dict -}}
{{- $_ := set $states (printf "%s %s" .kind .name) (list $object.data $object.binaryData) -}}
{{- end -}}
{{- with $states }}{{ toJson . | sha256sum }}{{ end -}}
{{- end -}}

{{/* The Secrets and ConfigMaps that a value refers to at any depth, as a YAML list. */}}
{{- define "mqtt-trace.references" -}}
{{- $kinds := dict "secret" "Secret" "secretRef" "Secret" "secretKeyRef" "Secret" "configMap" "ConfigMap" "configMapRef" "ConfigMap" "configMapKeyRef" "ConfigMap" -}}
{{- if kindIs "map" . -}}
{{- range $field, $value := . -}}
{{- if and (hasKey $kinds $field) (kindIs "map" $value) -}}
{{- with $value.secretName | default $value.name }}
- { kind: {{ get $kinds $field }}, name: {{ quote . }} }
{{- end -}}
{{- end -}}
{{- include "mqtt-trace.references" $value -}}
{{- end -}}
{{- else if kindIs "slice" . -}}
{{- range . }}{{ include "mqtt-trace.references" . }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The chart's own users of Mosquitto, as a YAML list. */}}
{{- define "mqtt-trace.brokerUsers" -}}
- producer
- consumer
{{- if include "mqtt-trace.hasBrokerMetrics" . }}
- broker-metrics
{{- end }}
{{- end -}}
