/**
 * The `DistricCluster` resource: its schema, from which the CRD is generated, and the reading of it. A default is stated
 * in the schema and filled in here, and never written into the resource: GitOps tools would see a difference for ever.
 */
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { type Condition, type ResourceMetadata } from './resources.ts';

/** A part that is Kubernetes' own, and checked by it when a pod is made. */
type Json = Record<string, unknown>;
const openObject = (description: string) =>
  Type.Optional(Type.Unsafe<Json>({ type: 'object', description, 'x-kubernetes-preserve-unknown-fields': true }));
const openList = (description: string) =>
  Type.Optional(
    Type.Unsafe<Json[]>({
      type: 'array',
      description,
      items: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    }),
  );
const textMap = (description: string) => Type.Optional(Type.Record(Type.String(), Type.String(), { description }));
const flag = (byDefault: boolean, description: string) => Type.Boolean({ default: byDefault, description });
const cel = (rule: string, message: string) => ({ rule, message });

const QuantitySchema = (description: string, byDefault?: string) =>
  Type.String({
    pattern: '^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$',
    maxLength: 20,
    description,
    ...(byDefault === undefined ? {} : { default: byDefault }),
  });
const choice = <T extends string>(values: readonly T[], byDefault: T, description: string) =>
  Type.Unsafe<T>({ type: 'string', enum: [...values], default: byDefault, description });

const PodFields = {
  resources: openObject('Requests and limits of the container.'),
  affinity: openObject('Affinity of the pods.'),
  topologySpreadConstraints: openList('How pods are spread; by default softly over nodes.'),
  tolerations: openList('Tolerations of the pods.'),
  nodeSelector: textMap('Labels of the nodes that pods may run on.'),
  priorityClassName: Type.Optional(Type.String({ description: 'Priority class of the pods.' })),
  podAnnotations: textMap('Annotations of the pods.'),
  podLabels: textMap('Labels of the pods, beside those of the operator.'),
  extraEnv: openList('Environment variables of the container, as in a pod.'),
};

const StorageSchema = Type.Object(
  {
    size: QuantitySchema('Size of the volume of each coordinator. It only grows.', '20Gi'),
    storageClassName: Type.Optional(Type.String({ description: 'Storage class of the volumes; never changed.' })),
  },
  {
    default: {},
    'x-kubernetes-validations': [
      cel(
        'has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)',
        'storageClassName is never changed',
      ),
      cel(
        '!has(self.size) || !has(oldSelf.size) || quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0',
        'size only grows',
      ),
    ],
  },
);

const CoordinatorsSchema = Type.Object(
  {
    replicas: Type.Unsafe<number>({ type: 'integer', enum: [1, 3, 5, 7], default: 3, description: 'Coordinators.' }),
    storage: StorageSchema,
    volumeRetention: Type.Object(
      {
        whenDeleted: choice(['Retain', 'Delete'], 'Retain', 'What becomes of the volumes when the cluster is deleted.'),
        whenScaled: choice(['Retain', 'Delete'], 'Delete', 'What becomes of the volume of a coordinator scaled away.'),
      },
      { default: {} },
    ),
    lmdb: Type.Optional(
      Type.Object({
        mapSize: QuantitySchema('Most that the state may take; less than the volume. Default: 60 % of the volume.'),
      }),
    ),
    memberReplacement: choice(
      ['Automatic', 'Manual'],
      'Automatic',
      'Whether a coordinator whose volume was lost is replaced by itself.',
    ),
    ...PodFields,
  },
  {
    default: {},
    'x-kubernetes-validations': [
      cel(
        '!has(self.lmdb) || !has(self.lmdb.mapSize) || !has(self.storage) || !has(self.storage.size) || quantity(self.lmdb.mapSize).compareTo(quantity(self.storage.size)) < 0',
        'lmdb.mapSize must be less than storage.size',
      ),
    ],
  },
);

const AutoscalingSchema = Type.Object(
  {
    minReplicas: Type.Integer({ minimum: 0, maximum: 1_000, default: 1, description: 'Fewest workers.' }),
    maxReplicas: Type.Integer({ minimum: 1, maximum: 1_000, description: 'Most workers.' }),
    targetQueuedTasksPerWorker: Type.Integer({
      minimum: 1,
      default: 20,
      description: 'Tasks, ready or running, that one worker is there for.',
    }),
    scaleDownStabilizationSeconds: Type.Integer({
      minimum: 0,
      maximum: 86_400,
      default: 300,
      description: 'Fewer workers only when fewer have been enough for so long.',
    }),
  },
  {
    'x-kubernetes-validations': [
      cel(
        '!has(self.minReplicas) || self.minReplicas <= self.maxReplicas',
        'minReplicas must not be above maxReplicas',
      ),
    ],
  },
);

const WorkerPoolSchema = Type.Object(
  {
    name: Type.String({ pattern: '^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$', maxLength: 16, description: 'Of the pool.' }),
    replicas: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000,
        description: 'Workers. Left out: `autoscaling`, or an autoscaler of yours, decides.',
      }),
    ),
    autoscaling: Type.Optional(AutoscalingSchema),
    concurrency: Type.Integer({ minimum: 1, maximum: 10_000, default: 16, description: 'Attempts at the same time.' }),
    drainTimeoutSeconds: Type.Integer({
      minimum: 0,
      maximum: 3_600,
      default: 300,
      description: 'How long running tasks may finish when a worker stops.',
    }),
    plugins: Type.Optional(
      Type.Array(
        Type.Object({
          configMap: Type.Optional(Type.String({ description: 'Plugins as keys of this ConfigMap.' })),
          persistentVolumeClaim: Type.Optional(
            Type.String({ description: 'Plugins on this volume, mounted read-only.' }),
          ),
          image: Type.Optional(Type.String({ description: 'An image whose root holds plugins (image volumes).' })),
        }),
        { maxItems: 16, description: 'Where plugins come from, beside those of the image.' },
      ),
    ),
    ...PodFields,
  },
  {
    'x-kubernetes-validations': [
      cel('!(has(self.replicas) && has(self.autoscaling))', 'name replicas or autoscaling, not both'),
    ],
  },
);

const MonitoringSchema = Type.Object(
  {
    serviceMonitor: Type.Object(
      {
        enabled: flag(false, 'Make a ServiceMonitor, where that kind is known.'),
        labels: textMap('Labels of it.'),
        interval: Type.String({ default: '30s', description: 'How often pods are scraped.' }),
      },
      { default: {} },
    ),
    prometheusRule: Type.Object(
      { enabled: flag(false, 'Make a PrometheusRule with alerts.'), labels: textMap('Labels of it.') },
      { default: {} },
    ),
  },
  { default: {} },
);

const ClusterSpecSchema = Type.Object({
  image: Type.Object(
    {
      repository: Type.Optional(Type.String({ description: 'Image of the nodes. Default: as the operator was told.' })),
      tag: Type.Optional(Type.String({ description: 'Its tag or digest.' })),
      pullPolicy: choice(['Always', 'IfNotPresent', 'Never'], 'IfNotPresent', 'When it is pulled.'),
      pullSecrets: Type.Optional(Type.Array(Type.String(), { maxItems: 16, description: 'Secrets to pull it with.' })),
    },
    { default: {} },
  ),
  managementPolicy: choice(
    ['Managed', 'Paused', 'Hibernated'],
    'Managed',
    'Paused: nothing is changed. Hibernated: no pods; the volumes stay.',
  ),
  coordinators: CoordinatorsSchema,
  workers: Type.Array(WorkerPoolSchema, {
    default: [],
    maxItems: 16,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
    description: 'Pools of workers.',
  }),
  parameters: Type.Unsafe<Json>({
    type: 'object',
    default: {},
    description: 'Settings of the nodes (docs/configuration.md), such as `retention` and `limits`.',
    properties: Object.fromEntries(
      ['limits', 'retention', 'raft', 'log'].map((section) => [
        section,
        { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      ]),
    ),
  }),
  tls: Type.Object(
    {
      mode: choice(['OperatorManaged', 'Disabled'], 'OperatorManaged', 'Whether nodes and REST speak TLS.'),
      certificateDays: Type.Integer({ minimum: 1, maximum: 365, default: 90, description: 'Life of a certificate.' }),
    },
    {
      default: {},
      'x-kubernetes-validations': [
        cel(
          'has(self.mode) == has(oldSelf.mode) && (!has(self.mode) || self.mode == oldSelf.mode)',
          'mode is never changed',
        ),
      ],
    },
  ),
  auth: Type.Object(
    {
      adminSecretRef: Type.Optional(
        Type.Object({ name: Type.String({ description: 'Secret with the admin key under `admin.key`.' }) }),
      ),
    },
    { default: {} },
  ),
  monitoring: MonitoringSchema,
  networkPolicy: Type.Object(
    { mode: choice(['Enabled', 'Disabled'], 'Enabled', 'Whether a NetworkPolicy keeps others from the nodes.') },
    { default: {} },
  ),
  podDisruptionBudget: Type.Object(
    { enabled: flag(true, 'Whether a PodDisruptionBudget keeps a quorum; never for one replica.') },
    { default: {} },
  ),
});

export type ClusterSpec = Static<typeof ClusterSpecSchema>;
export type WorkerPool = ClusterSpec['workers'][number];
export type PodSettings = Pick<WorkerPool, keyof typeof PodFields>;

const ConditionsSchema = Type.Array(
  Type.Object({
    type: Type.String(),
    status: Type.Unsafe<'True' | 'False' | 'Unknown'>({ type: 'string', enum: ['True', 'False', 'Unknown'] }),
    reason: Type.String(),
    message: Type.String(),
    lastTransitionTime: Type.String({ format: 'date-time' }),
    observedGeneration: Type.Optional(Type.Integer()),
  }),
  { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] },
);
/** Status of a Rule or Workflow; 64-bit numbers are text. */
export const DocumentStatusSchema = Type.Partial(
  Type.Object({
    observedGeneration: Type.Integer(),
    appliedHash: Type.String(),
    remoteVersion: Type.String(),
    conditions: ConditionsSchema,
  }),
);
const ClusterStatusSchema = Type.Partial(
  Type.Object({
    observedGeneration: Type.Integer(),
    phase: Type.String(),
    clusterID: Type.String(),
    leader: Type.String(),
    term: Type.String(),
    readyCoordinators: Type.Integer(),
    readyWorkers: Type.Integer(),
    image: Type.String(),
    catalogVersion: Type.String(),
    queuedTasks: Type.Integer(),
    certificatesUntil: Type.String(),
    members: Type.Array(
      Type.Object({
        id: Type.String(),
        name: Type.String(),
        role: Type.Unsafe<'Voter' | 'Learner' | 'Leaving'>({ type: 'string', enum: ['Voter', 'Learner', 'Leaving'] }),
        appliedIndex: Type.Optional(Type.String()),
        lag: Type.Optional(Type.String()),
        state: Type.Optional(Type.String()),
        storagePercent: Type.Optional(Type.Integer()),
      }),
      { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['id'] },
    ),
    workers: Type.Array(
      Type.Object({
        pool: Type.String(),
        replicas: Type.Integer(),
        ready: Type.Integer(),
        running: Type.Integer(),
        capacity: Type.Integer(),
      }),
      { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['pool'] },
    ),
    conditions: ConditionsSchema,
  }),
);
export type ClusterResourceStatus = Static<typeof ClusterStatusSchema>;
export type DocumentStatus = Static<typeof DocumentStatusSchema>;

export interface ClusterResource {
  metadata: ResourceMetadata;
  spec?: unknown;
  status?: ClusterResourceStatus & { conditions?: Condition[] };
}

/** What a CRD says of the whole resource. */
export const CLUSTER_RESOURCE = { spec: ClusterSpecSchema, status: ClusterStatusSchema };

/** The spec with the defaults of the schema where it says nothing. The API server has checked it against the schema. */
export function clusterSpecOf(resource: Pick<ClusterResource, 'spec'>): ClusterSpec {
  return Value.Default(ClusterSpecSchema, Value.Clone(resource.spec ?? {})) as ClusterSpec;
}
