/** What runs in each node: containerd, the kubelet and kube-proxy. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { until } from '../until.ts';
import type { Credentials } from './credentials.ts';
import { CLUSTER_DOMAIN, DNS_SERVICE_ADDRESS, POD_RANGE, writeInto, type NodePlan } from './layout.ts';
import { run, startIn } from './machine.ts';
import { PAUSE_IMAGE } from './pause-image.ts';
import type { Programs } from './programs.ts';

const CONTAINERD_LIMIT_MS = 30_000;
const CNI_PROGRAMS_DIR = '/usr/lib/cni';
/** Below the node's own `/run`. */
const SOCKET = '/run/containerd/containerd.sock';

export async function startContainerd(node: NodePlan): Promise<void> {
  const cniDir = join(node.dir, 'cni');
  writeInto(join(cniDir, '10-pods.conflist'), JSON.stringify(podNetwork(node)));
  const config = writeInto(join(node.dir, 'containerd.toml'), containerdConfig(node, cniDir));
  startIn(node, 'containerd', ['containerd', '--config', config]);
  const socket = join(node.dir, SOCKET);
  await until(`containerd of ${node.name}`, CONTAINERD_LIMIT_MS, () => {
    if (!existsSync(socket)) return Promise.resolve(undefined);
    return Promise.resolve(ctr(node, ['version']));
  });
}

/** Containerd's own client, for the images of Kubernetes; it goes in by the socket alone, and reads files from outside. */
export function ctr(node: NodePlan, args: readonly string[]): string {
  return run('ctr', ['--address', join(node.dir, SOCKET), '--namespace', 'k8s.io', ...args]);
}

export async function startKubelet(node: NodePlan, programs: Programs, credentials: Credentials): Promise<void> {
  const credential = await credentials.node(node);
  const kubeconfig = credentials.kubeconfig(join(node.dir, 'kubelet.kubeconfig'), credential);
  const resolv = writeInto(join(node.dir, 'resolv.conf'), `nameserver ${DNS_SERVICE_ADDRESS}\n`);
  const config = {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: credentials.authority.certificateFile },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: credential.certificateFile,
    tlsPrivateKeyFile: credential.keyFile,
    containerRuntimeEndpoint: `unix://${SOCKET}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${node.cgroup}`,
    failCgroupV1: false,
    failSwapOn: false,
    // Only a process with CAP_SYS_RESOURCE may go below its own score.
    oomScoreAdj: 0,
    clusterDNS: [DNS_SERVICE_ADDRESS],
    clusterDomain: CLUSTER_DOMAIN,
    resolvConf: resolv,
    podLogsDir: join(node.dir, 'pod-logs'),
    // The disk is the machine's: how full it is has nothing to do with the pods, and images can't be had again.
    evictionHard: { 'nodefs.available': '1%', 'imagefs.available': '1%', 'memory.available': '100Mi' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
  };
  const file = writeInto(join(node.dir, 'kubelet.yaml'), stringify(config));
  startIn(node, 'kubelet', [
    join(programs.kubernetesDir, 'kubelet'),
    `--config=${file}`,
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${node.address}`,
    `--root-dir=${join(node.dir, 'kubelet')}`,
  ]);
}

export async function startKubeProxy(node: NodePlan, programs: Programs, credentials: Credentials): Promise<void> {
  const credential = await credentials.part('kube-proxy');
  const config = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clientConnection: { kubeconfig: credentials.kubeconfig(join(node.dir, 'kube-proxy.kubeconfig'), credential) },
    hostnameOverride: node.name,
    clusterCIDR: POD_RANGE,
    detectLocalMode: 'ClusterCIDR',
    oomScoreAdj: 0,
    // These belong to the whole machine.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
  const file = writeInto(join(node.dir, 'kube-proxy.yaml'), stringify(config));
  startIn(node, 'kube-proxy', [join(programs.kubernetesDir, 'kube-proxy'), `--config=${file}`]);
}

/** Every pod has a link and a route of its own: no bridge, so all traffic between pods passes the packet filters. */
function podNetwork(node: NodePlan): unknown {
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: node.podSubnet }]],
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: join(node.dir, 'addresses'),
  };
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      { type: 'ptp', ipMasq: false, ipam },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}

function containerdConfig(node: NodePlan, cniDir: string): string {
  return `version = 2
root = "${join(node.dir, 'containerd')}"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "${SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${join(node.dir, 'opt')}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE no pod would start: its score would have to go below that of containerd.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_PROGRAMS_DIR}"
    conf_dir = "${cniDir}"
`;
}
