/** Pods and services of the suites, as the restricted Pod Security level wants them. */
import { packageVersion } from '../../cli/commands/version.ts';
import type { KubeObject } from './kube.ts';

export const NODE_IMAGE = `distric.io/node:${packageVersion()}`;
const USER = 65_532;

export interface PodOptions {
  image?: string;
  command?: readonly string[];
  env?: Record<string, string>;
  /** The node that it must run on. */
  node?: string;
  /** Paths of volumes: a claim's name, or an empty folder. */
  volumes?: Record<string, { claim: string } | 'empty'>;
  readinessPath?: { path: string; port: number };
}

export function pod(name: string, options: PodOptions): KubeObject {
  const volumes = Object.entries(options.volumes ?? {}).map(([path, source], index) => ({
    path,
    source,
    name: `v${index}`,
  }));
  const container = {
    name: 'main',
    image: options.image ?? NODE_IMAGE,
    imagePullPolicy: 'IfNotPresent',
    ...(options.command === undefined ? {} : { command: options.command }),
    env: Object.entries(options.env ?? {}).map(([key, value]) => ({ name: key, value })),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: volumes.map(({ path, name: volume }) => ({ name: volume, mountPath: path })),
    ...(options.readinessPath === undefined
      ? {}
      : { readinessProbe: { httpGet: options.readinessPath, periodSeconds: 1, failureThreshold: 60 } }),
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: {
      containers: [container],
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      ...(options.node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': options.node } }),
      securityContext: {
        runAsNonRoot: true,
        runAsUser: USER,
        fsGroup: USER,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      volumes: volumes.map(({ name: volume, source }) =>
        source === 'empty'
          ? { name: volume, emptyDir: {} }
          : { name: volume, persistentVolumeClaim: { claimName: source.claim } },
      ),
    },
  };
}

/** For the pods with the label `app: NAME`. */
export function service(name: string, port: number): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port, targetPort: port }] },
  };
}

export function claim(name: string, size: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: size } } },
  };
}
