{{- define "predictscale.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "predictscale.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "predictscale.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "predictscale.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "predictscale.selector" -}}
app.kubernetes.io/name: {{ include "predictscale.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "predictscale.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "predictscale.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: external-scaler
app.kubernetes.io/part-of: keda
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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

{{/* The service's file: what the owner wrote, over what the chart mounts. */}}
{{- define "predictscale.config" -}}
{{- $mounted := dict
  "grpc" (dict "port" .Values.service.grpc.port)
  "http" (dict "port" .Values.service.http.port)
  "metrics" (dict "port" 9464)
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
{{- range $server, $port := dict "grpc" .Values.service.grpc.port "http" .Values.service.http.port "metrics" 9464 -}}
{{- $own := dig $server "port" $port $.Values.config -}}
{{- if ne (int $own) (int $port) -}}
{{- fail (printf "config.%s.port: is %v, the pod's port is %v; %s" $server $own $port (ternary "leave it out" (printf "set service.%s.port" $server) (eq $server "metrics"))) -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.tls.enabled) (or .Values.tls.existingSecret .Values.tls.clientAuth .Values.tls.certManager.enabled) -}}
{{- fail "tls.enabled: is false, and others of tls.* are set; enable it, or leave them out, for gRPC would be in plain text" -}}
{{- end -}}
{{- if and (dig "grpc" "tls" false .Values.config) (not .Values.tls.enabled) -}}
{{- fail "config.grpc.tls: set tls.enabled and tls.existingSecret instead; the kubelet's gRPC probe speaks no TLS, and would kill the pod" -}}
{{- end -}}
{{- merge (deepCopy .Values.config) $mounted | toPrettyJson -}}
{{- end -}}

{{- define "predictscale.mountsSecrets" -}}
{{- if or .Values.secrets.prometheusToken.name .Values.secrets.prometheusCa.name .Values.secrets.writeTokens.name -}}
true
{{- end -}}
{{- end -}}
