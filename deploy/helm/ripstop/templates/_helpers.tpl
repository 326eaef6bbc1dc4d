{{- define "ripstop.labels" -}}
k8s-app: flannel
{{- end }}

{{- define "ripstop.image" -}}
{{ .Values.flannel.image.repository }}:{{ .Values.flannel.image.tag }}
{{- end }}

{{/* net-conf.json as a value, so that strings are quoted whatever they hold. */}}
{{- define "ripstop.netConf" -}}
{{- $backend := dict "Type" .Values.flannel.backend -}}
{{- $names := dict "backendPort" "Port" "vni" "VNI" "GBP" "GBP" "directRouting" "DirectRouting" "mtu" "MTU" "macPrefix" "MacPrefix" -}}
{{- if eq .Values.flannel.backend "wireguard" -}}
{{- $names = dict "backendPort" "ListenPort" "backendPortv6" "ListenPortV6" "psk" "PSK" "mtu" "MTU" "tunnelMode" "Mode" "keepaliveInterval" "PersistentKeepaliveInterval" -}}
{{- end -}}
{{- range $value, $field := $names -}}
{{- $given := get $.Values.flannel $value -}}
{{- if not (kindIs "invalid" $given) -}}
{{- /* Numbers of a values file arrive as floats. */ -}}
{{- if kindIs "float64" $given }}{{ $given = int64 $given }}{{ end -}}
{{- $_ := set $backend $field $given -}}
{{- end -}}
{{- end -}}
{{- if .Values.flannel.dataPlane -}}{{- $_ := set $backend "DataPlane" .Values.flannel.dataPlane -}}{{- end -}}
{{- $conf := dict "EnableNFTables" .Values.flannel.enableNFTables "Backend" $backend -}}
{{- if .Values.podCidr -}}{{- $_ := set $conf "Network" .Values.podCidr -}}{{- else -}}{{- $_ := set $conf "EnableIPv4" false -}}{{- end -}}
{{- if .Values.podCidrv6 -}}{{- $_ := set $conf "EnableIPv6" true -}}{{- $_ := set $conf "IPv6Network" .Values.podCidrv6 -}}{{- end -}}
{{- toPrettyJson $conf -}}
{{- end }}
