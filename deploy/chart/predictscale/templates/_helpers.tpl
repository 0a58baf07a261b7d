{{- define "predictscale.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Of 52 characters at most: a StatefulSet's pods carry its name and eleven more in a label, which may have 63. */}}
{{- define "predictscale.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "predictscale.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "predictscale.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "predictscale.selector" -}}
app.kubernetes.io/name: {{ include "predictscale.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "predictscale.labels" -}}
{{- include "predictscale.labelled" (dict "root" . "more" dict) -}}
{{- end -}}

{{/* The same and those of one kind of object, each once: what is said later wins, for a key that stands twice is refused. */}}
{{- define "predictscale.labelled" -}}
{{- $labels := include "predictscale.selector" .root | fromYaml -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- $_ := set $labels "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/component" "external-scaler" -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "keda" -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- range $more := list .root.Values.commonLabels .more -}}
{{- range $key, $value := $more -}}
{{- $_ := set $labels $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* The pod's own ports. That of gRPC is its Service's: who resolves a headless Service calls the pods themselves. */}}
{{- define "predictscale.podPorts" -}}
grpc: {{ .Values.service.grpc.port }}
http: 8080
metrics: 9464
{{- end -}}

{{- define "predictscale.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "predictscale.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "predictscale.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "predictscale.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{- printf "%s-tls" (include "predictscale.fullname" .) -}}
{{- else -}}
{{- required "tls.existingSecret: is missing; name a Secret with tls.crt and tls.key, or enable tls.certManager" .Values.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* Lays one tree over another, in place. What is over it wins also where it is empty: null takes a path away. */}}
{{- define "predictscale.lay" -}}
{{- range $key, $value := .over -}}
{{- $under := get $.under $key -}}
{{- if and (kindIs "map" $under) (kindIs "map" $value) -}}
{{- include "predictscale.lay" (dict "under" $under "over" $value) -}}
{{- else -}}
{{- $_ := set $.under $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The service's file: what the owner wrote, over what the chart mounts. */}}
{{- define "predictscale.config" -}}
{{- $ports := include "predictscale.podPorts" . | fromYaml -}}
{{- $mounted := dict
  "grpc" (dict "port" $ports.grpc)
  "http" (dict "port" $ports.http)
  "metrics" (dict "port" $ports.metrics)
  "cache" (dict "path" "/var/lib/predictscale/history.sqlite")
  "archive" (dict "path" "/var/lib/predictscale/decisions.sqlite")
-}}
{{- if .Values.shared.existingClaim -}}
{{- $_ := set $mounted "events" (dict "path" "/var/lib/predictscale-shared/events.json") -}}
{{- $_ := set $mounted "overrides" (dict "path" "/var/lib/predictscale-shared/overrides.json") -}}
{{- $_ := set $mounted.http "audit_path" "/var/lib/predictscale-shared/audit.jsonl" -}}
{{- end -}}
{{- if .Values.secrets.writeTokens.name -}}
{{- $_ := set $mounted.http "write_token_file" "/var/run/secrets/predictscale/write-tokens" -}}
{{- end -}}
{{- if .Values.secrets.prometheusToken.name -}}
{{- $_ := set $mounted "prometheus" (dict "bearer_token_file" "/var/run/secrets/predictscale/prometheus-token") -}}
{{- end -}}
{{- if .Values.secrets.prometheusCa.name -}}
{{- $prometheus := default (dict) (get $mounted "prometheus") -}}
{{- $_ := set $mounted "prometheus" (merge $prometheus (dict "tls" (dict "ca_file" "/var/run/secrets/predictscale/prometheus-ca"))) -}}
{{- end -}}
{{- if .Values.tls.enabled -}}
{{- $tls := dict "cert_file" "/var/run/secrets/predictscale-tls/tls.crt" "key_file" "/var/run/secrets/predictscale-tls/tls.key" -}}
{{- if .Values.tls.clientAuth -}}
{{- $_ := set $tls "client_ca_file" "/var/run/secrets/predictscale-tls/ca.crt" -}}
{{- end -}}
{{- $_ := set $mounted.grpc "tls" $tls -}}
{{- end -}}
{{- if not (or .Values.config.prometheus.url .Values.config.replay) -}}
{{- fail "config.prometheus.url: is missing; must be Prometheus' base URL, such as http://prometheus-operated.monitoring:9090" -}}
{{- end -}}
{{- /* Probes, Services and policies follow the chart's values, so these must not be written past them. */ -}}
{{- range $server, $port := $ports -}}
{{- $own := dig $server "port" $port $.Values.config -}}
{{- if ne (int $own) (int $port) -}}
{{- fail (printf "config.%s.port: is %v, the pod's port is %v; %s" $server $own $port (ternary "leave it out" (printf "set service.%s.port" $server) (eq $server "metrics"))) -}}
{{- end -}}
{{- end -}}
{{- if has (int $ports.grpc) (list 8080 9464) -}}
{{- fail (printf "service.grpc.port: %v is a port of the pod already: REST has 8080, metrics 9464" $ports.grpc) -}}
{{- end -}}
{{- if eq (int .Values.service.http.port) 9464 -}}
{{- fail "service.http.port: 9464 is the port of metrics on the same Service" -}}
{{- end -}}
{{- if and (not .Values.tls.enabled) (or .Values.tls.existingSecret .Values.tls.clientAuth .Values.tls.certManager.enabled) -}}
{{- fail "tls.enabled: is false, and others of tls.* are set; enable it, or leave them out, for gRPC would be in plain text" -}}
{{- end -}}
{{- if and (dig "grpc" "tls" false .Values.config) (not .Values.tls.enabled) -}}
{{- fail "config.grpc.tls: set tls.enabled and tls.existingSecret instead; the kubelet's gRPC probe speaks no TLS, and would kill the pod" -}}
{{- end -}}
{{- include "predictscale.lay" (dict "under" $mounted "over" .Values.config) -}}
{{- /* With a replay there may be no Prometheus, and a service reads one source. */ -}}
{{- if not .Values.config.prometheus.url -}}
{{- $_ := unset $mounted "prometheus" -}}
{{- end -}}
{{- toPrettyJson $mounted -}}
{{- end -}}

{{- define "predictscale.mountsSecrets" -}}
{{- if or .Values.secrets.prometheusToken.name .Values.secrets.prometheusCa.name .Values.secrets.writeTokens.name -}}
true
{{- end -}}
{{- end -}}
