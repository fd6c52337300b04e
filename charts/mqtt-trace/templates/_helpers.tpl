{{- define "mqtt-trace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/*
Short enough for the longest suffix and the hash of a StatefulSet's revision within 63 characters. In an umbrella chart, it
always contains the alias, or a hash of it, because the same chart may be there under another alias.
*/}}
{{- define "mqtt-trace.fullname" -}}
{{- $name := include "mqtt-trace.name" . -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if and .Chart.IsRoot (contains $name .Release.Name) }}{{ $full = .Release.Name }}{{ end -}}
{{- if and (not .Chart.IsRoot) (gt (len $full) 36) -}}
{{- $full = printf "%s-%s" ($full | trunc 27 | trimSuffix "-") ($full | sha256sum | trunc 8) -}}
{{- end -}}
{{- default $full .Values.fullnameOverride | trunc 36 | trimSuffix "-" -}}
{{- end -}}

{{- define "mqtt-trace.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* Name, namespace and labels of an object: (list . "producer"), or (list . "producer" "another-name"). */}}
{{- define "mqtt-trace.metadata" -}}
{{- $root := first . -}}
{{- $component := index . 1 -}}
name: {{ gt (len .) 2 | ternary (last .) (include "mqtt-trace.component" (list $root $component)) | quote }}
namespace: {{ include "mqtt-trace.namespace" $root | quote }}
labels: {{- include "mqtt-trace.labels" (list $root $component) | nindent 2 }}
{{- end -}}

{{/* The name of a component's objects: (list . "producer"). */}}
{{- define "mqtt-trace.component" -}}
{{- printf "%s-%s" (include "mqtt-trace.fullname" (first .)) (last .) -}}
{{- end -}}

{{/* The name of a component in the values: "mosquitto". */}}
{{- define "mqtt-trace.valuesName" -}}
{{- $others := dict "mosquitto" "broker" "otel-collector" "collector" "fleet" "producer" -}}
{{- get $others . | default (camelcase . | untitle) -}}
{{- end -}}

{{/* Immutable labels of all pods of the release. */}}
{{- define "mqtt-trace.releaseLabels" -}}
app.kubernetes.io/name: {{ include "mqtt-trace.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Immutable labels of a component's pods: (list . "producer"). */}}
{{- define "mqtt-trace.selectorLabels" -}}
{{ include "mqtt-trace.releaseLabels" (first .) }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* Labels of a component's objects: (list . "producer"). */}}
{{- define "mqtt-trace.labels" -}}
{{- $root := first . -}}
{{ include "mqtt-trace.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: mqtt-trace
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
Labels of a component's pods: (list . "producer"). A new version of the chart changes none of them, and restarts no broker
that it changes nothing of.
*/}}
{{- define "mqtt-trace.podLabels" -}}
{{ include "mqtt-trace.selectorLabels" . }}
app.kubernetes.io/part-of: mqtt-trace
{{- end -}}

{{/* An image: (list . .Values.producer.image). Without a tag, it is one of this project's own, of the chart's appVersion. */}}
{{- define "mqtt-trace.image" -}}
{{- $root := first . -}}
{{- $image := last . -}}
{{- with $root.Values.global.imageRegistry | default $image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* Whether Mosquitto, the Collector and scout-sim are the chart's own, and whether the Collector sends to Scout or scout-sim: "true" or nothing. */}}
{{- define "mqtt-trace.hasBroker" -}}
{{- if not .Values.broker.external.host }}true{{ end -}}
{{- end -}}

{{- define "mqtt-trace.hasBrokerMetrics" -}}
{{- $enabled := .Values.brokerMetrics.enabled -}}
{{- if kindIs "invalid" $enabled }}{{ $enabled = .Values.monitoring.podMonitor.enabled }}{{ end -}}
{{- if and $enabled (include "mqtt-trace.hasBroker" .) }}true{{ end -}}
{{- end -}}

{{/* Whether sensors of fleets may have users of their own in Mosquitto: "true" or nothing. */}}
{{- define "mqtt-trace.hasIdentities" -}}
{{- if and .Values.operator.enabled .Values.operator.identities.enabled }}true{{ end -}}
{{- end -}}

{{/* Whether they may have certificates of their own, for which Mosquitto has a listener: "true" or nothing. */}}
{{- define "mqtt-trace.hasCertificates" -}}
{{- if and (include "mqtt-trace.hasIdentities" .) .Values.broker.tls.enabled }}true{{ end -}}
{{- end -}}

{{- define "mqtt-trace.certificatesPort" -}}8884{{- end -}}

{{/* The Secret with the authority of sensors' certificates. */}}
{{- define "mqtt-trace.sensorsCaSecret" -}}
{{- include "mqtt-trace.component" (list . "sensors-ca") -}}
{{- end -}}

{{/* The Secret with the users of sensors, which the operator writes. */}}
{{- define "mqtt-trace.sensorsSecret" -}}
{{- include "mqtt-trace.component" (list . "mosquitto-sensors") -}}
{{- end -}}

{{- define "mqtt-trace.hasCollector" -}}
{{- if not .Values.collector.external.endpoint }}true{{ end -}}
{{- end -}}

{{- define "mqtt-trace.hasScout" -}}
{{- if and (include "mqtt-trace.hasCollector" .) .Values.scout.enabled }}true{{ end -}}
{{- end -}}

{{- define "mqtt-trace.hasScoutSim" -}}
{{- if and (include "mqtt-trace.hasScout" .) (not .Values.scout.existingSecret) (not .Values.scout.credentials.clientId) }}true{{ end -}}
{{- end -}}

{{/* The Secret with the four keys of Scout. */}}
{{- define "mqtt-trace.scoutSecret" -}}
{{- if .Values.scout.existingSecret }}{{ .Values.scout.existingSecret }}
{{- else if .Values.scout.credentials.clientId }}{{ include "mqtt-trace.component" (list . "scout") }}
{{- else }}{{ include "mqtt-trace.component" (list . "scout-sim") }}
{{- end -}}
{{- end -}}

{{/* The Collector's variables, with their keys in that Secret. */}}
{{- define "mqtt-trace.scoutKeys" -}}
SCOUT_CLIENT_ID: client-id
SCOUT_CLIENT_SECRET: client-secret
SCOUT_TOKEN_URL: token-url
SCOUT_OTLP_ENDPOINT: endpoint
{{- end -}}

{{/* The Secret with the broker's passwords. */}}
{{- define "mqtt-trace.authSecret" -}}
{{- .Values.auth.existingSecret | default (include "mqtt-trace.component" (list . "auth")) -}}
{{- end -}}

{{/* The Secret with Mosquitto's certificate. */}}
{{- define "mqtt-trace.tlsSecret" -}}
{{- .Values.broker.tls.existingSecret | default (include "mqtt-trace.component" (list . "mosquitto-tls")) -}}
{{- end -}}

{{/* The Secret whose ca.crt the broker's clients trust; nothing for the public authorities or without TLS. */}}
{{- define "mqtt-trace.caSecret" -}}
{{- if .Values.broker.external.host }}{{ .Values.broker.external.caSecret }}
{{- else if .Values.broker.tls.enabled }}{{ include "mqtt-trace.tlsSecret" . }}
{{- end -}}
{{- end -}}

{{- define "mqtt-trace.brokerPort" -}}
{{- $external := .Values.broker.external -}}
{{- if $external.host }}{{ $external.port | default (ternary 8883 1883 $external.tls) }}
{{- else }}{{ ternary 8883 1883 .Values.broker.tls.enabled }}
{{- end -}}
{{- end -}}

{{- define "mqtt-trace.scoutSimUrl" -}}
http://{{ include "mqtt-trace.component" (list . "scout-sim") }}:4320
{{- end -}}

{{/*
A value of a Secret that outlives upgrades, in base64: what is given, else what the cluster has, else a random one.
(dict "root" . "secret" "name" "key" "producer-password" "given" "")
*/}}
{{- define "mqtt-trace.kept" -}}
{{- $secret := lookup "v1" "Secret" (include "mqtt-trace.namespace" .root) .secret | default dict -}}
{{- if .given }}{{ b64enc .given }}
{{- else }}{{ dig "data" .key (randAlphaNum 32 | b64enc) $secret }}
{{- end -}}
{{- end -}}

{{/* The enabled components, as a YAML list. */}}
{{- define "mqtt-trace.components" -}}
{{- if include "mqtt-trace.hasBroker" . }}
- mosquitto
{{- end }}
{{- if include "mqtt-trace.hasBrokerMetrics" . }}
- broker-metrics
{{- end }}
{{- if include "mqtt-trace.hasCollector" . }}
- otel-collector
{{- end }}
{{- if include "mqtt-trace.hasScoutSim" . }}
- scout-sim
{{- end }}
{{- if .Values.echo.enabled }}
- echo
{{- end }}
{{- if .Values.consumer.enabled }}
- consumer
{{- end }}
{{- if .Values.producer.enabled }}
- producer
{{- end }}
{{- if .Values.operator.enabled }}
- operator
{{- end }}
{{- if .Values.consumer.enabled }}
- test
{{- end }}
{{- end -}}

{{/* A command that shows events and logs of a component's pods: (list . "echo"). */}}
{{- define "mqtt-trace.look" -}}
{{- $namespace := include "mqtt-trace.namespace" (first .) -}}
{{- $pods := printf "app.kubernetes.io/instance=%s,app.kubernetes.io/component=%s" (first .).Release.Name (last .) -}}
kubectl -n {{ $namespace }} describe pods -l {{ $pods }} | grep -A20 ^Events; kubectl -n {{ $namespace }} logs -l {{ $pods }} --all-containers --prefix --tail=30
{{- end -}}

{{/* The enabled workloads, by kubectl's names, as a YAML list. */}}
{{- define "mqtt-trace.workloads" -}}
{{- range without (include "mqtt-trace.components" . | fromYamlArray) "test" }}
- {{ has . (list "broker-metrics" "echo" "operator" "producer") | ternary "deployment" "statefulset" }}/{{ include "mqtt-trace.component" (list $ .) }}
{{- end }}
{{- end -}}
