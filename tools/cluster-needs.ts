import type { SystemNeed } from './provision.ts';

export const KUBERNETES_TESTS = 'tests on a real Kubernetes';
const neededFor = KUBERNETES_TESTS;

/** Go is not among them: the version that Kubernetes is built with is newer than Debian's (see `go/go.ts`). */
export const CLUSTER_NEEDS: readonly SystemNeed[] = [
  { program: 'containerd', package: 'containerd', neededFor },
  { program: 'runc', package: 'runc', neededFor },
  { program: '/usr/lib/cni/ptp', package: 'containernetworking-plugins', neededFor },
  { program: 'conntrack', package: 'conntrack', neededFor },
  { program: 'iptables', package: 'iptables', neededFor },
  { program: 'ip', package: 'iproute2', neededFor },
  { program: 'socat', package: 'socat', neededFor },
];
