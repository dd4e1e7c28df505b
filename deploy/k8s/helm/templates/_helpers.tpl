{{/* Names and labels that Kubernetes recommends; the argument is a component. */}}
{{- define "shoal.selector" -}}
app.kubernetes.io/name: shoal
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- define "shoal.labels" -}}
app.kubernetes.io/name: shoal
app.kubernetes.io/component: {{ . }}
app.kubernetes.io/part-of: shoal
{{- end }}

{{/* The profile "restricted" (FAILURE-MODEL S24, S25): of a pod, then of a container. */}}
{{- define "shoal.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false  # Their variables would begin with SHOAL_ too.
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
tolerations:
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 30}
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 30}
{{- end }}
{{- define "shoal.container" -}}
image: {{ .Values.image }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Nothing restarts a process because another one is away: liveness is its own. */}}
{{- define "shoal.probes" -}}
startupProbe:
  httpGet: {path: /health, port: ops}
  periodSeconds: 5
  failureThreshold: 360
livenessProbe:
  httpGet: {path: /health, port: ops}
  periodSeconds: 10
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /ready, port: ops}
  periodSeconds: 5
{{- end }}

{{/* An address of its own, which others get to know it by. */}}
{{- define "shoal.podAddress" -}}
- name: POD_ADDRESS
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- end }}

{{/* A StatefulSet's volume; the argument is a role's values. */}}
{{- define "shoal.claim" -}}
- metadata: {name: data}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources: {requests: {storage: {{ .storage }}}}
{{- end }}
