{{- define "livepromo.labels" -}}
{{ include "livepromo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "livepromo.selector" -}}
app.kubernetes.io/name: livepromo
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "livepromo.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  {{- range $setting, $from := .Values.secretFiles }}
  - name: {{ $setting | lower | replace "_" "-" }}
    secret:
      secretName: {{ $from.secret }}
      defaultMode: 0440
      items:
        - {key: {{ $from.key | quote }}, path: value}
  {{- end }}
{{- end }}

{{- define "livepromo.container" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: LIVEPROMO_METRICS_PORT, value: "9464"}
  {{- range $setting, $value := .Values.env }}
  - {name: {{ $setting }}, value: {{ $value | quote }}}
  {{- end }}
  {{- range $setting, $_ := .Values.secretFiles }}
  - {name: {{ $setting }}, value: /run/livepromo/{{ $setting | lower | replace "_" "-" }}/value}
  {{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- range $setting, $_ := .Values.secretFiles }}
  - name: {{ $setting | lower | replace "_" "-" }}
    mountPath: /run/livepromo/{{ $setting | lower | replace "_" "-" }}
    readOnly: true
  {{- end }}
{{- end }}
