{{/* Rules of NetworkPolicies. */}}

{{/* Ingress to a port from pods with an access label: (dict "root" . "access" "broker" "ports" (list "mqtt")). */}}
{{- define "mqtt-trace.ingress" -}}
- from:
    - podSelector:
        matchLabels:
          mqtt-trace.io/access-{{ .access }}: "true"
    {{- if and (has .access (list "broker" "collector")) .root.Values.operator.enabled (include "mqtt-trace.hasFleetsElsewhere" .root) }}
    {{- include "mqtt-trace.fleetPods" .root | nindent 4 }}
    {{- end }}
  ports:
    {{- range .ports }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
{{- end -}}

{{/*
Ingress by a Service of type NodePort or LoadBalancer, or nothing: (dict "values" .Values.broker "ports" (list "mqtt")). It is from
any address, because a pod sees that of a node.
*/}}
{{- define "mqtt-trace.ingressFromOutside" -}}
{{- if has (.values.service | default dict).type (list "NodePort" "LoadBalancer") }}
- ports:
    {{- range .ports }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
{{- end }}
{{- end -}}

{{/* Egress to a component of the release: (dict "root" . "to" "echo" "ports" (list 8000)). */}}
{{- define "mqtt-trace.egress" -}}
- to:
    - podSelector:
        matchLabels: {{- include "mqtt-trace.selectorLabels" (list .root .to) | nindent 10 }}
  ports:
    {{- range .ports }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
{{- end -}}

{{/* A peer: the pods of the operator's fleets. */}}
{{- define "mqtt-trace.fleetPods" -}}
- podSelector:
    matchLabels: {{- include "mqtt-trace.selectorLabels" (list . "fleet") | nindent 6 }}
  {{- if .Values.operator.clusterWide }}
  namespaceSelector: {}
  {{- else if include "mqtt-trace.hasFleetsElsewhere" . }}
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values: {{- include "mqtt-trace.fleetNamespaces" . | nindent 10 }}
  {{- end }}
{{- end -}}

{{/* Egress to any address, by port: (list 443); a rule without ports would allow all of them. */}}
{{- define "mqtt-trace.egressByPort" -}}
{{- with . -}}
- ports:
    {{- range . }}
    - { port: {{ int . }}, protocol: TCP }
    {{- end }}
{{- end -}}
{{- end -}}

{{/* Any address, because some clusters resolve names on the node. OpenShift's DNS pods listen on 5353. */}}
{{- define "mqtt-trace.egressToDns" -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
    - { port: 5353, protocol: UDP }
    - { port: 5353, protocol: TCP }
{{- end -}}

{{- define "mqtt-trace.egressToBroker" -}}
{{- if include "mqtt-trace.hasBroker" . }}
{{- include "mqtt-trace.egress" (dict "root" . "to" "mosquitto" "ports" (list (include "mqtt-trace.brokerPort" .))) }}
{{- else }}
{{- include "mqtt-trace.egressByPort" (list (include "mqtt-trace.brokerPort" .)) }}
{{- end }}
{{- end -}}

{{/* Egress to the broker's listener for certificates of sensors, if it has one. */}}
{{- define "mqtt-trace.egressToCertificates" -}}
{{- if include "mqtt-trace.hasCertificates" . }}
{{- include "mqtt-trace.egress" (dict "root" . "to" "mosquitto" "ports" (list (include "mqtt-trace.certificatesPort" .))) }}
{{- end }}
{{- end -}}

{{- define "mqtt-trace.egressToCollector" -}}
{{- if include "mqtt-trace.hasCollector" . }}
{{- include "mqtt-trace.egress" (dict "root" . "to" "otel-collector" "ports" (list 4317 4318)) }}
{{- else }}
{{- include "mqtt-trace.egressByPort" (list (include "mqtt-trace.urlPort" .Values.collector.external.endpoint)) }}
{{- end }}
{{- end -}}

{{- define "mqtt-trace.egressToScout" -}}
{{- if include "mqtt-trace.hasScoutSim" . }}
{{- include "mqtt-trace.egress" (dict "root" . "to" "scout-sim" "ports" (list 4320)) }}
{{- else if include "mqtt-trace.hasScout" . }}
{{- include "mqtt-trace.egressByPort" (include "mqtt-trace.scoutPorts" . | fromJsonArray) }}
{{- end }}
{{- end -}}

{{/* The ports of Scout and of its token endpoint, as a JSON list. */}}
{{- define "mqtt-trace.scoutPorts" -}}
{{- $scout := .Values.scout -}}
{{- $ports := $scout.existingSecret | empty | ternary (list) (.Values.networkPolicy.scoutPorts | default list) -}}
{{- $urls := list $scout.credentials.endpoint $scout.credentials.tokenUrl -}}
{{- range $urls | compact }}{{ $ports = append $ports (include "mqtt-trace.urlPort" . | int) }}{{ end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{- define "mqtt-trace.egressToEcho" -}}
{{- if .Values.consumer.echoUrl }}
{{- include "mqtt-trace.egressByPort" (list (include "mqtt-trace.urlPort" .Values.consumer.echoUrl)) }}
{{- else }}
{{- include "mqtt-trace.egress" (dict "root" . "to" "echo" "ports" (list 8000)) }}
{{- end }}
{{- end -}}

{{/* The port of a URL. */}}
{{- define "mqtt-trace.urlPort" -}}
{{- $port := regexReplaceAll "^([a-z0-9]+://)?(\\[[^]]*\\]|[^:/]*)(:([0-9]+))?.*$" . "${4}" -}}
{{- $port | default (hasPrefix "https:" . | ternary 443 80) -}}
{{- end -}}

{{/* The start of a component's policy, up to its rules: (list . "echo"). */}}
{{- define "mqtt-trace.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "mqtt-trace.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels: {{- include "mqtt-trace.selectorLabels" . | nindent 6 }}
{{- end -}}
