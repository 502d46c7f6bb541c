/** etcd, the API server, the controllers, the scheduler, the name server and the volumes, all in the first node. */
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Credential, Credentials } from './credentials.ts';
import {
  ADMIN_KUBECONFIG,
  API_PORT,
  AUDIT_LOG,
  CLUSTER_DOMAIN,
  DNS_PORT,
  FIRST_NODE,
  POD_RANGE,
  SERVICE_RANGE,
  STATE_DIR,
  writeInto,
} from './layout.ts';
import { startIn } from './machine.ts';
import type { Programs } from './programs.ts';

export const CONTROL_PLANE_PARTS = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'coredns',
  'volumes',
] as const;
export type ControlPlanePart = (typeof CONTROL_PLANE_PARTS)[number];

export type Commands = ReadonlyMap<ControlPlanePart, readonly string[]>;

const dir = join(STATE_DIR, 'control-plane');
const ETCD_URL = 'http://127.0.0.1:2379';
const ETCD_PEER_URL = 'http://127.0.0.1:2380';

/** What each part is started with. */
export async function controlPlaneCommands(programs: Programs, credentials: Credentials): Promise<Commands> {
  credentials.kubeconfig(ADMIN_KUBECONFIG, await credentials.admin('admin'));
  const kubeconfigOf = async (name: string): Promise<string> =>
    credentials.kubeconfig(join(dir, `${name}.kubeconfig`), await credentials.part(name));
  const program = (name: string): string => join(programs.kubernetesDir, name);
  const serviceAccounts = await credentials.issue({ name: 'service-accounts', commonName: 'service-accounts' });
  const controllers = await kubeconfigOf('kube-controller-manager');
  return new Map<ControlPlanePart, readonly string[]>([
    ['etcd', [program('etcd'), ...etcdFlags()]],
    ['kube-apiserver', [program('kube-apiserver'), ...(await apiServerFlags(credentials, serviceAccounts))]],
    [
      'kube-controller-manager',
      [program('kube-controller-manager'), ...controllerFlags(credentials, controllers, serviceAccounts)],
    ],
    [
      'kube-scheduler',
      [program('kube-scheduler'), `--kubeconfig=${await kubeconfigOf('kube-scheduler')}`, '--leader-elect=false'],
    ],
    ['volumes', [program('volumes'), `--kubeconfig=${ADMIN_KUBECONFIG}`, `--folder=${join(STATE_DIR, 'volumes')}`]],
    ['coredns', [programs.coredns, '-conf', corefile(await kubeconfigOf('coredns'))]],
  ]);
}

export function startPart(commands: Commands, part: ControlPlanePart): void {
  startIn(FIRST_NODE, part, commands.get(part) ?? []);
}

function etcdFlags(): string[] {
  return [
    `--data-dir=${join(dir, 'etcd')}`,
    `--listen-client-urls=${ETCD_URL}`,
    `--advertise-client-urls=${ETCD_URL}`,
    `--listen-peer-urls=${ETCD_PEER_URL}`,
    `--initial-advertise-peer-urls=${ETCD_PEER_URL}`,
    `--initial-cluster=default=${ETCD_PEER_URL}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

async function apiServerFlags(credentials: Credentials, serviceAccounts: Credential): Promise<string[]> {
  const serving = await credentials.apiServer();
  const toNodes = await credentials.admin('kube-apiserver-to-nodes');
  return [
    `--etcd-servers=${ETCD_URL}`,
    `--secure-port=${String(API_PORT)}`,
    `--advertise-address=${FIRST_NODE.address}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--client-ca-file=${credentials.authority.certificateFile}`,
    `--tls-cert-file=${serving.certificateFile}`,
    `--tls-private-key-file=${serving.keyFile}`,
    `--kubelet-certificate-authority=${credentials.authority.certificateFile}`,
    `--kubelet-client-certificate=${toNodes.certificateFile}`,
    `--kubelet-client-key=${toNodes.keyFile}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    `--service-account-issuer=https://kubernetes.default.svc.${CLUSTER_DOMAIN}`,
    `--service-account-key-file=${serviceAccounts.certificateFile}`,
    `--service-account-signing-key-file=${serviceAccounts.keyFile}`,
    `--audit-policy-file=${auditPolicy()}`,
    `--audit-log-path=${AUDIT_LOG}`,
  ];
}

/** Each call of a service account, so that what is granted can be compared with what is used. */
function auditPolicy(): string {
  const policy = {
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    rules: [
      { level: 'None', userGroups: ['system:serviceaccounts:kube-system'] },
      { level: 'Metadata', userGroups: ['system:serviceaccounts'] },
      { level: 'None' },
    ],
  };
  return writeInto(join(dir, 'audit-policy.yaml'), stringify(policy));
}

function controllerFlags(credentials: Credentials, kubeconfig: string, serviceAccounts: Credential): string[] {
  const { certificateFile, keyFile } = credentials.authority;
  return [
    `--kubeconfig=${kubeconfig}`,
    '--leader-elect=false',
    '--use-service-account-credentials=true',
    `--root-ca-file=${certificateFile}`,
    `--service-account-private-key-file=${serviceAccounts.keyFile}`,
    `--cluster-signing-cert-file=${certificateFile}`,
    `--cluster-signing-key-file=${keyFile}`,
    `--cluster-cidr=${POD_RANGE}`,
    '--allocate-node-cidrs=false',
  ];
}

/** No `forward`: there is no outside for pods here. Names that are not there yet are asked for again soon. */
function corefile(kubeconfig: string): string {
  const text = `.:${String(DNS_PORT)} {
  errors
  kubernetes ${CLUSTER_DOMAIN} in-addr.arpa {
    kubeconfig ${kubeconfig}
    ttl 5
  }
  cache 5
}
`;
  return writeInto(join(dir, 'Corefile'), text);
}
