/** The pods of a cluster: all of them fit the restricted Pod Security level, with a root file system that is read-only. */
import type { ClusterSpec, PodSettings, WorkerPool } from '../../api/cluster-resource.ts';
import { hashOf } from './hash.ts';
import type { Json } from './model.ts';
import {
  authorityName,
  coordinatorName,
  HASH_ANNOTATION,
  joinTokenName,
  labelsOf,
  madeSecretName,
  METRICS_PORT,
  nodeTlsName,
  type Owner,
  PEER_PORT,
  REST_PORT,
  selectorOf,
  workerName,
} from './names.ts';
import {
  CONFIG_DIR,
  COORDINATOR_DRAIN_MS,
  coordinatorSettings,
  DATA_DIR,
  PLUGINS_DIR,
  SECRETS_DIR,
  TLS_DIR,
  workerSettings,
} from './node-config.ts';

/** Of the image's user; files on volumes belong to the group. */
const USER_ID = 65_532;
const SECRET_MODE = 0o440;
/** So that whoever still sends to the pod has learnt that it goes. */
const ENDPOINT_GRACE_S = 3;
/** Beyond the node's own drain time. */
const STOP_MARGIN_S = 20;
/** A coordinator that comes back may have much to read. */
const START_S_MAX = 600;
const PROBE_S = 2;

export interface Template {
  /** Of what users ask of these pods. A new release of the operator that builds them otherwise keeps it. */
  hash: string;
  template: Json;
}

export function imageOf({ image }: Pick<ClusterSpec, 'image'>, defaultImage: string): string {
  const { repository, tag } = image;
  const [, name = defaultImage, defaultTag = 'latest'] = /^(.+?)(?::([^:/]+))?$/.exec(defaultImage) ?? [];
  const chosen = tag ?? defaultTag;
  return `${repository ?? name}${chosen.startsWith('sha256:') ? '@' : ':'}${chosen}`;
}

export function coordinatorTemplate(owner: Owner, spec: ClusterSpec, defaultImage: string): Template {
  const pod = without(spec.coordinators, ['replicas', 'storage', 'volumeRetention', 'memberReplacement']);
  const hash = hashOf({ image: spec.image, pod, settings: coordinatorSettings(owner, spec), secrets: spec.auth });
  const hasTls = spec.tls.mode !== 'Disabled';
  const labels = labelsOf(owner.name, 'coordinator');
  const container = {
    ports: [port('peer', PEER_PORT), port('rest', REST_PORT), port('metrics', METRICS_PORT)],
    env: [
      nodeIdEnv(),
      ...(hasTls
        ? [
            { name: 'DISTRIC_TLS_CERTIFICATE_FILE', value: `${TLS_DIR}/$(DISTRIC_NODE_ID).crt` },
            { name: 'DISTRIC_TLS_KEY_FILE', value: `${TLS_DIR}/$(DISTRIC_NODE_ID).key` },
          ]
        : []),
      ...(pod.extraEnv ?? []),
    ],
    volumeMounts: [...MOUNTS, mount('data', DATA_DIR), ...(hasTls ? [mount('tls', TLS_DIR, true)] : [])],
    lifecycle: { preStop: { sleep: { seconds: ENDPOINT_GRACE_S } } },
  };
  const secrets = [
    secretFile(spec.auth.adminSecretRef?.name ?? madeSecretName(owner.name, 'admin'), 'admin.key'),
    secretFile(madeSecretName(owner.name, 'gossip'), 'gossip.yaml'),
    ...(hasTls
      ? [secretFile(madeSecretName(owner.name, 'join'), 'join.secret'), secretFile(authorityName(owner.name), 'ca.key')]
      : []),
  ];
  const volumes = [
    ...commonVolumes(coordinatorName(owner.name), secrets),
    ...(hasTls ? [{ name: 'tls', secret: { secretName: nodeTlsName(owner.name), defaultMode: SECRET_MODE } }] : []),
  ];
  const graceSeconds = ENDPOINT_GRACE_S + COORDINATOR_DRAIN_MS / 1_000 + STOP_MARGIN_S;
  return templateOf({ owner, spec, pod, labels, hash, container, volumes, graceSeconds, defaultImage });
}

export function workerTemplate(owner: Owner, spec: ClusterSpec, pool: WorkerPool, defaultImage: string): Template {
  const { name } = pool;
  const pod = without(pool, ['name', 'replicas', 'autoscaling']);
  const hash = hashOf({ image: spec.image, pod, settings: workerSettings(owner, spec, pool) });
  const plugins = pool.plugins ?? [];
  const token = { name: joinTokenName(owner.name), key: 'token' };
  const container = {
    ports: [port('metrics', METRICS_PORT)],
    env: [
      nodeIdEnv(),
      ...(spec.tls.mode === 'Disabled' ? [] : [{ name: 'DISTRIC_TLS_JOIN_TOKEN', valueFrom: { secretKeyRef: token } }]),
      ...(pod.extraEnv ?? []),
    ],
    volumeMounts: [
      ...MOUNTS,
      mount('data', DATA_DIR),
      ...plugins.map((_, index) => mount(`plugins-${String(index)}`, `${PLUGINS_DIR}/${String(index)}`, true)),
    ],
  };
  const volumes = [
    ...commonVolumes(workerName(owner.name, name), [secretFile(madeSecretName(owner.name, 'gossip'), 'gossip.yaml')]),
    { name: 'data', emptyDir: {} },
    ...plugins.map(({ configMap, persistentVolumeClaim, image }, index) => ({
      name: `plugins-${String(index)}`,
      ...(configMap === undefined ? {} : { configMap: { name: configMap } }),
      ...(persistentVolumeClaim === undefined
        ? {}
        : { persistentVolumeClaim: { claimName: persistentVolumeClaim, readOnly: true } }),
      ...(image === undefined ? {} : { image: { reference: image } }),
    })),
  ];
  const labels = labelsOf(owner.name, 'worker', name);
  const graceSeconds = pool.drainTimeoutSeconds + STOP_MARGIN_S;
  return templateOf({ owner, spec, pod, labels, hash, container, volumes, graceSeconds, defaultImage });
}

/** How many there are, for one, is no reason to restart those that are there. */
function without<T extends object, K extends keyof T>(value: T, names: readonly K[]): Omit<T, K> {
  const kept = Object.entries(value).filter(([name]) => !(names as readonly string[]).includes(name));
  return Object.fromEntries(kept) as Omit<T, K>;
}

interface TemplateParts {
  owner: Owner;
  spec: ClusterSpec;
  pod: PodSettings;
  labels: Record<string, string>;
  hash: string;
  container: Json;
  volumes: Json[];
  graceSeconds: number;
  defaultImage: string;
}

function templateOf(parts: TemplateParts): Template {
  const { owner, spec, pod, labels, hash, container, volumes, graceSeconds, defaultImage } = parts;
  const { pullPolicy, pullSecrets = [] } = spec.image;
  const optional = {
    affinity: pod.affinity,
    tolerations: pod.tolerations,
    nodeSelector: pod.nodeSelector,
    priorityClassName: pod.priorityClassName,
    imagePullSecrets: pullSecrets.length > 0 ? pullSecrets.map((name) => ({ name })) : undefined,
  };
  const template = {
    metadata: {
      labels: { ...pod.podLabels, ...labels },
      annotations: { ...pod.podAnnotations, [HASH_ANNOTATION]: hash },
    },
    spec: {
      ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: graceSeconds,
      topologySpreadConstraints: pod.topologySpreadConstraints ?? spread(owner, labels),
      securityContext: {
        runAsNonRoot: true,
        runAsUser: USER_ID,
        runAsGroup: USER_ID,
        fsGroup: USER_ID,
        fsGroupChangePolicy: 'OnRootMismatch',
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'distric',
          image: imageOf(spec, defaultImage),
          imagePullPolicy: pullPolicy,
          args: ['--config', `${CONFIG_DIR}/node.yaml`],
          ...container,
          ...(pod.resources === undefined ? {} : { resources: pod.resources }),
          ...probes(),
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
        },
      ],
      volumes,
    },
  };
  return { hash, template };
}

/** Alive: the process answers. Ready: it has joined, and stays so without a leader. */
function probes(): Json {
  const get = (path: string): Json => ({ httpGet: { path, port: 'metrics' } });
  return {
    startupProbe: { ...get('/health/live'), periodSeconds: PROBE_S, failureThreshold: START_S_MAX / PROBE_S },
    livenessProbe: { ...get('/health/live'), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    readinessProbe: { ...get('/health/ready'), periodSeconds: PROBE_S, timeoutSeconds: 5, failureThreshold: 3 },
  };
}

function spread(owner: Owner, labels: Record<string, string>): Json[] {
  const role = labels['app.kubernetes.io/component'] as 'coordinator' | 'worker';
  return [
    {
      maxSkew: 1,
      topologyKey: 'kubernetes.io/hostname',
      whenUnsatisfiable: 'ScheduleAnyway',
      labelSelector: { matchLabels: selectorOf(owner.name, role) },
    },
  ];
}

const MOUNTS: Json[] = [mount('config', CONFIG_DIR, true), mount('secrets', SECRETS_DIR, true), mount('tmp', '/tmp')];

function commonVolumes(configMap: string, sources: Json[]): Json[] {
  return [
    { name: 'config', configMap: { name: configMap } },
    { name: 'secrets', projected: { defaultMode: SECRET_MODE, sources } },
    { name: 'tmp', emptyDir: {} },
  ];
}

function secretFile(name: string, key: string): Json {
  return { secret: { name, items: [{ key, path: key }] } };
}

function mount(name: string, mountPath: string, readOnly = false): Json {
  return { name, mountPath, ...(readOnly ? { readOnly } : {}) };
}

function port(name: string, containerPort: number): Json {
  return { name, containerPort, protocol: 'TCP' };
}

function nodeIdEnv(): Json {
  return { name: 'DISTRIC_NODE_ID', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } };
}
