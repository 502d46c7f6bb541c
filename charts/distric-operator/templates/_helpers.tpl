{{- define "distric-operator.selector" -}}
app.kubernetes.io/name: distric-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "distric-operator.labels" -}}
{{ include "distric-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* What the operator may do with the objects of clusters. */}}
{{- define "distric-operator.rules" -}}
- apiGroups: [distric.io]
  resources: [districclusters, rules, workflows]
  verbs: [get, list, watch, update, patch]
- apiGroups: [distric.io]
  resources: [districclusters/status, rules/status, workflows/status]
  verbs: [get, update, patch]
- apiGroups: [distric.io]
  resources: [districclusters/finalizers, rules/finalizers, workflows/finalizers]
  verbs: [update]
- apiGroups: ['']
  resources: [configmaps, secrets, services, persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: ['']
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: ['', events.k8s.io]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [apps]
  resources: [statefulsets/scale, deployments/scale]
  verbs: [get, patch, update]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors, prometheusrules]
  verbs: [get, list, watch, create, patch, update, delete]
{{- end }}
