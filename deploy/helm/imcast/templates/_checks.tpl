{{/* Refuses values that the schema cannot refuse, because they are wrong only together. */}}
{{- define "imcast.checks" -}}
{{- $most := ternary .Values.autoscaling.maxReplicas .Values.replicas .Values.autoscaling.enabled | int -}}
{{- if not (trim .Values.config) -}}
{{- fail "config is empty: set it to the text of imcast.toml, with at least one [[keys]] table (imcast keygen makes one)" -}}
{{- end -}}
{{- if and (ne .Values.store.type "postgresql") (gt $most 1) -}}
{{- fail (printf "store.type %s is for one replica, and this release may have %d: set replicas to 1 with autoscaling off, or store.type to postgresql" .Values.store.type $most) -}}
{{- end -}}
{{- if and (eq .Values.store.type "postgresql") (not .Values.secrets.existingSecret) -}}
{{- fail (printf "store.type postgresql needs secrets.existingSecret: a Secret whose key %s is postgres://user:password@host/database" .Values.store.urlSecretKey) -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" -}}
{{- end -}}
{{- end -}}
