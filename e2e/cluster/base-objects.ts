/** What a cluster has before anybody uses it: who may do what, the name server's service, a class of storage. */
import { stringify } from 'yaml';
import { DNS_PORT, DNS_SERVICE_ADDRESS, FIRST_NODE } from './layout.ts';

const RBAC = 'rbac.authorization.k8s.io';

function bindingOf(user: string, role: string): unknown {
  return {
    apiVersion: `${RBAC}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name: user },
    roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: role },
    subjects: [{ apiGroup: RBAC, kind: 'User', name: user }],
  };
}

const NAME_SERVER_ROLE = {
  apiVersion: `${RBAC}/v1`,
  kind: 'ClusterRole',
  metadata: { name: 'system:coredns' },
  rules: [
    { apiGroups: [''], resources: ['endpoints', 'services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  ],
};

const DNS_PORTS = ['UDP', 'TCP'].map((protocol) => ({
  name: `dns-${protocol.toLowerCase()}`,
  protocol,
  port: DNS_PORT,
}));

/** Without a selector: the name server is a program of the first node. */
const DNS_SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'kube-dns', namespace: 'kube-system' },
  spec: { clusterIP: DNS_SERVICE_ADDRESS, ports: DNS_PORTS },
};

const DNS_ENDPOINTS = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'kube-dns', namespace: 'kube-system', labels: { 'kubernetes.io/service-name': 'kube-dns' } },
  addressType: 'IPv4',
  endpoints: [{ addresses: [FIRST_NODE.address], conditions: { ready: true } }],
  ports: DNS_PORTS,
};

/** Folders of this machine (volumes.go); they grow, and follow their pods from node to node. */
const STORAGE_CLASS = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'folders', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
  provisioner: 'distric.io/folders',
  reclaimPolicy: 'Delete',
  volumeBindingMode: 'WaitForFirstConsumer',
  allowVolumeExpansion: true,
};

export function baseObjects(): string {
  const objects = [
    bindingOf('system:kube-proxy', 'system:node-proxier'),
    NAME_SERVER_ROLE,
    bindingOf('system:coredns', 'system:coredns'),
    DNS_SERVICE,
    DNS_ENDPOINTS,
    STORAGE_CLASS,
  ];
  return objects.map((object) => stringify(object)).join('---\n');
}
