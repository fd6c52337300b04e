{{/*
Pods. A component says what is its own; mqtt-trace.podTemplate adds what all pods have, and what the values of the
component say. A new value for all components belongs here, and nowhere else.
*/}}

{{/*
The template of a component's pods:
(dict "root" . "component" "echo" "values" .Values.echo "own" (include "mqtt-trace.echo" . | fromYaml)).

What a component may have of its own:
  labels, annotations        of the pod
  service                    OTEL_SERVICE_NAME, of a service that sends telemetry
  env                        variables of the container, as a map; values override them
  container                  other fields of the container
  initContainers, volumes    lists
  spread                     true spreads the pods over nodes
*/}}
{{- define "mqtt-trace.podTemplate" -}}
{{- $own := .own -}}
{{- $settings := include "mqtt-trace.settings" (list .root .values) | fromJson -}}
{{- $labels := include "mqtt-trace.podLabels" (list .root .component) | fromYaml -}}
{{- $labels = mergeOverwrite (dict) (.root.Values.commonLabels | default dict) ($settings.podLabels | default dict) ($own.labels | default dict) $labels -}}
{{- $annotations := mergeOverwrite (dict) ($settings.podAnnotations | default dict) ($own.annotations | default dict) -}}
{{- with include "mqtt-trace.referencesChecksum" (list .root (pick .values "env" "envFrom" "extraVolumes" "initContainers" "sidecars")) -}}
{{- $_ := set $annotations "checksum/references" . -}}
{{- end -}}
{{- include "mqtt-trace.refuseNames" . -}}
{{- include "mqtt-trace.refuseRequests" . -}}
{{- $container := include "mqtt-trace.container" (merge (dict "settings" $settings) .) | fromJson -}}
{{- $volumes := concat ($own.volumes | default list) (.values.extraVolumes | default list) -}}
metadata:
  labels: {{- toYaml $labels | nindent 4 }}
  {{- with $annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if ne .component "fleet" }}
  serviceAccountName: {{ include "mqtt-trace.serviceAccount" (list .root .component .values) | quote }}
  {{- end }}
  {{- include "mqtt-trace.podSpec" (list .root $settings) | nindent 2 }}
  {{- if not (kindIs "invalid" .values.terminationGracePeriodSeconds) }}
  terminationGracePeriodSeconds: {{ int .values.terminationGracePeriodSeconds }}
  {{- end }}
  {{- if $settings.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml $settings.topologySpreadConstraints | nindent 4 }}
  {{- else if $own.spread }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "mqtt-trace.selectorLabels" (list .root .component) | nindent 10 }}
  {{- end }}
  {{- if or .values.initContainers $own.initContainers }}
  initContainers:
    {{- with .values.initContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- range $own.initContainers }}
    - {{ merge (dict "imagePullPolicy" $.root.Values.imagePullPolicy "securityContext" $settings.securityContext) . | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  containers:
    - {{ toYaml $container | nindent 6 | trim }}
    {{- range $own.sidecars }}
    - {{ merge (dict "imagePullPolicy" $.root.Values.imagePullPolicy "securityContext" $settings.securityContext) . | toYaml | nindent 6 | trim }}
    {{- end }}
    {{- with .values.sidecars }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $volumes }}
  volumes: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "mqtt-trace.lastLine" . | nindent 2 }}
{{- end -}}

{{/*
Refuses a container or volume of the values that has the name of another one, and a mount of no volume, or where another is:
the arguments of mqtt-trace.podTemplate.
*/}}
{{- define "mqtt-trace.refuseNames" -}}
{{- $container := .own.container | default dict -}}
{{- $containers := list ($container.name | default .component) -}}
{{- range concat (.own.initContainers | default list) (.own.sidecars | default list) }}{{ $containers = append $containers .name }}{{ end -}}
{{- $volumes := list -}}
{{- range concat (.own.volumes | default list) ($container.volumeMounts | default list) }}{{ $volumes = append $volumes .name }}{{ end -}}
{{- $path := include "mqtt-trace.valuesName" .component -}}
{{- range .values.extraVolumes -}}
{{- if has .name $volumes }}{{ fail (printf "%s.extraVolumes has %s, which the pod has already: choose another name." $path .name) }}{{ end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- range $list := list "initContainers" "sidecars" -}}
{{- range index $.values $list -}}
{{- if has .name $containers }}{{ fail (printf "%s.%s has %s, which the pod has already: choose another name." $path $list .name) }}{{ end -}}
{{- $containers = append $containers .name -}}
{{- range .volumeMounts -}}
{{- if not (has .name $volumes) }}{{ fail (printf "%s.%s mounts %s, which is no volume of the pod: add it to %s.extraVolumes." $path $list .name $path) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $paths := list -}}
{{- range $container.volumeMounts }}{{ $paths = append $paths .mountPath }}{{ end -}}
{{- range .values.extraVolumeMounts -}}
{{- if not (has .name $volumes) }}{{ fail (printf "%s.extraVolumeMounts has %s, which is no volume of the pod: add it to %s.extraVolumes." $path .name $path) }}{{ end -}}
{{- if has .mountPath $paths }}{{ fail (printf "%s.extraVolumeMounts has %s, which the container mounts already: choose another path." $path .mountPath) }}{{ end -}}
{{- $paths = append $paths .mountPath -}}
{{- end -}}
{{- end -}}

{{/* Refuses a request above its limit: the arguments of mqtt-trace.podTemplate. */}}
{{- define "mqtt-trace.refuseRequests" -}}
{{- $path := printf "%s.resources" (include "mqtt-trace.valuesName" .component) -}}
{{- $resources := .values.resources | default dict -}}
{{- range $name, $request := $resources.requests -}}
{{- $limit := get ($resources.limits | default dict) $name -}}
{{- if and $limit (gt (include "mqtt-trace.quantity" $request | float64) (include "mqtt-trace.quantity" $limit | float64)) -}}
{{- fail (printf "%s.requests.%s is %v, more than %s.limits.%s, which is %v." $path $name $request $path $name $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The end of a manifest that values could end: Helm cuts white space there. */}}
{{- define "mqtt-trace.lastLine" -}}
# End of the manifest.
{{- end -}}

{{/* A component's own container: the arguments of mqtt-trace.podTemplate with "settings". */}}
{{- define "mqtt-trace.container" -}}
{{- $own := .own -}}
{{- $image := include "mqtt-trace.image" (list .root .values.image) -}}
{{- $env := $own.env | default dict -}}
{{- if $own.service -}}
{{- $env = merge (dict) $env (include "mqtt-trace.telemetryEnv" (list .root $own.service .values) | fromYaml) -}}
{{- end -}}
{{- $theirs := .values.env | default dict -}}
{{- if $own.service -}}
{{- $theirs = omit $theirs "OTEL_RESOURCE_ATTRIBUTES" -}}
{{- end -}}
{{- $container := dict "name" .component "image" $image "imagePullPolicy" .root.Values.imagePullPolicy -}}
{{- $container = mergeOverwrite $container ($own.container | default dict) -}}
{{- with include "mqtt-trace.env" (list $env $theirs) | fromYamlArray -}}
{{- $_ := set $container "env" . -}}
{{- end -}}
{{- with .values.envFrom }}{{ $_ := set $container "envFrom" . }}{{ end -}}
{{- with .values.resources }}{{ $_ := set $container "resources" . }}{{ end -}}
{{- with .settings.securityContext }}{{ $_ := set $container "securityContext" . }}{{ end -}}
{{- $values := .values -}}
{{- $path := include "mqtt-trace.valuesName" .component -}}
{{- range $probe := list "startupProbe" "readinessProbe" "livenessProbe" -}}
{{- if and (hasKey $values $probe) (kindIs "invalid" (get $values $probe)) -}}
{{- $_ := unset $container $probe -}}
{{- else -}}
{{- with get $values $probe -}}
{{- $actions := pick . "exec" "httpGet" "tcpSocket" "grpc" | keys | sortAlpha -}}
{{- if gt (len $actions) 1 }}{{ fail (printf "%s.%s has %s: a probe has only one action." $path $probe (join " and " $actions)) }}{{ end -}}
{{- $_ := set $container $probe (include "mqtt-trace.probe" (list (get $container $probe | default dict) .) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $mounts := concat ($container.volumeMounts | default list) (.values.extraVolumeMounts | default list) -}}
{{- $container = not (empty $mounts) | ternary (merge (dict "volumeMounts" $mounts) $container) (omit $container "volumeMounts") -}}
{{- toJson $container -}}
{{- end -}}

{{/* Fields of every pod: (list . $settings). */}}
{{- define "mqtt-trace.podSpec" -}}
{{- $root := first . -}}
{{- $settings := last . -}}
automountServiceAccountToken: false
# Otherwise, a Service called `echo` would set ECHO_PORT, which a service would read as its own setting.
enableServiceLinks: false
{{- with $root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") . | quote }}
  {{- end }}
{{- end }}
{{- with $settings.podSecurityContext }}
securityContext: {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $name := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "runtimeClassName" "hostAliases" "dnsConfig" }}
{{- with get $settings $name }}
{{- dict $name . | toYaml | nindent 0 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The settings of a component's pods, those of all pods included: (list . .Values.echo). */}}
{{- define "mqtt-trace.settings" -}}
{{- $names := list "podAnnotations" "podLabels" "podSecurityContext" "securityContext" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "hostAliases" "dnsConfig" -}}
{{- $all := dict "podAnnotations" dict "podLabels" dict -}}
{{- $component := dict -}}
{{- range $name := $names -}}
{{- if hasKey (first $).Values $name }}{{ $_ := set $all $name (get (first $).Values $name) }}{{ end -}}
{{- if hasKey (last $) $name }}{{ $_ := set $component $name (get (last $) $name) }}{{ end -}}
{{- end -}}
{{- include "mqtt-trace.merged" (list $all $component) -}}
{{- end -}}

{{/* A map with another over it; null removes a key: (list $map $over). mergeOverwrite would ignore false, 0 and null. */}}
{{- define "mqtt-trace.merged" -}}
{{- $all := deepCopy (first .) -}}
{{- range $name, $value := last . -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $all $name -}}
{{- else if kindIs "map" $value -}}
{{- $under := get $all $name -}}
{{- $_ := set $all $name (include "mqtt-trace.merged" (list (kindIs "map" $under | ternary $under dict) $value) | fromJson) -}}
{{- else -}}
{{- $_ := set $all $name $value -}}
{{- end -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/* A probe with fields over it, of which an action replaces the action: (list $probe $over). */}}
{{- define "mqtt-trace.probe" -}}
{{- $probe := first . -}}
{{- $actions := list "exec" "httpGet" "tcpSocket" "grpc" -}}
{{- range $action := $actions -}}
{{- if hasKey (last $) $action }}{{ $probe = omit $probe "exec" "httpGet" "tcpSocket" "grpc" }}{{ end -}}
{{- end -}}
{{- include "mqtt-trace.merged" (list $probe (last .)) -}}
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

{{/* The name of a component's ServiceAccount, the namespace's own if there is none: (list . "echo" .Values.echo). */}}
{{- define "mqtt-trace.serviceAccount" -}}
{{- $account := (last .).serviceAccount | default dict -}}
{{- $own := eq $account.create false | ternary "default" (include "mqtt-trace.component" (list (first .) (index . 1))) -}}
{{- $account.name | default $own -}}
{{- end -}}
