/** The three CRDs, from the schemas in `api/`. */
import { stringify } from 'yaml';
import { CLUSTER_RESOURCE, DocumentStatusSchema } from '../api/cluster-resource.ts';
import { OPS } from '../api/condition.ts';
import { API_GROUP, CLUSTER_NAME_CHARS_MAX, RESOURCE_KINDS, type ResourceKind } from '../api/resources.ts';
import { RuleSchema } from '../api/rule.ts';
import { WorkflowSchema } from '../api/workflow.ts';
import { structural } from './structural-schema.ts';

type Json = Record<string, unknown>;
interface Column {
  name: string;
  type: string;
  jsonPath: string;
  description?: string;
  priority?: number;
}

/** Conditions are typed so deep; below that they are whatever the coordinator takes. */
const CONDITION_DEPTH = 4;

/** Of the resource alone, or not for people to set. */
const LEFT_OUT = ['managedBy'];

function conditionSchema(depth: number): Json {
  const conditions =
    depth === 1
      ? { type: 'array', items: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }
      : { type: 'array', items: conditionSchema(depth - 1) };
  return {
    type: 'object',
    properties: {
      combinator: { type: 'string', enum: ['AND', 'OR', 'NOT'] },
      conditions,
      field: { type: 'string' },
      op: { type: 'string', enum: OPS },
      value: { 'x-kubernetes-preserve-unknown-fields': true },
    },
  };
}

function documentSpec(schema: object, change: (properties: Json) => Json = (properties) => properties): Json {
  const { properties, required = [], ...rest } = structural(schema) as { properties: Json; required?: string[] };
  const kept = Object.fromEntries(Object.entries(properties).filter(([name]) => !LEFT_OUT.includes(name)));
  const never = 'never changes';
  return {
    ...rest,
    required: ['clusterRef', ...required.filter((name) => name !== 'id')],
    properties: {
      clusterRef: {
        type: 'object',
        description: 'The DistricCluster, of the same namespace.',
        required: ['name'],
        properties: { name: { type: 'string', maxLength: CLUSTER_NAME_CHARS_MAX } },
        'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: `clusterRef ${never}` }],
      },
      deletionPolicy: {
        type: 'string',
        enum: ['Delete', 'Retain'],
        description: 'What becomes of it in the cluster when this resource is deleted. Default: Delete.',
      },
      ...change(kept),
      id: {
        ...(kept['id'] as Json),
        description: 'Its id in the cluster, where metadata.name, the default, cannot spell it.',
      },
    },
    'x-kubernetes-validations': [
      { rule: 'has(self.id) == has(oldSelf.id) && (!has(self.id) || self.id == oldSelf.id)', message: `id ${never}` },
    ],
  };
}

function crd(
  kind: ResourceKind,
  spec: Json,
  status: Json,
  columns: readonly Column[],
  validations: Json[] = [],
): string {
  const { plural, singular, shortNames } = RESOURCE_KINDS[kind];
  return stringify(
    {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${plural}.${API_GROUP}` },
      spec: {
        group: API_GROUP,
        scope: 'Namespaced',
        names: { kind, plural, singular, listKind: `${kind}List`, shortNames, categories: ['distric'] },
        versions: [
          {
            name: 'v1alpha1',
            served: true,
            storage: true,
            subresources: { status: {} },
            additionalPrinterColumns: [
              ...columns,
              { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
            ],
            schema: {
              openAPIV3Schema: {
                type: 'object',
                required: ['spec'],
                properties: {
                  apiVersion: { type: 'string' },
                  kind: { type: 'string' },
                  metadata: { type: 'object' },
                  spec,
                  status,
                },
                ...(validations.length > 0 ? { 'x-kubernetes-validations': validations } : {}),
              },
            },
          },
        ],
      },
    },
    { aliasDuplicateObjects: false, lineWidth: 0 },
  );
}

const condition = (type: string, field: string): string => `.status.conditions[?(@.type=="${type}")].${field}`;

const DOCUMENT_COLUMNS: readonly Column[] = [
  { name: 'Cluster', type: 'string', jsonPath: '.spec.clusterRef.name' },
  { name: 'Ready', type: 'string', jsonPath: condition('Ready', 'status') },
  { name: 'Reason', type: 'string', jsonPath: condition('Ready', 'reason') },
  { name: 'Message', type: 'string', jsonPath: condition('Ready', 'message'), priority: 1 },
];

const CLUSTER_COLUMNS: readonly Column[] = [
  { name: 'Ready', type: 'string', jsonPath: condition('Ready', 'status') },
  { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
  { name: 'Leader', type: 'string', jsonPath: '.status.leader' },
  { name: 'Coordinators', type: 'integer', jsonPath: '.status.readyCoordinators' },
  { name: 'Workers', type: 'integer', jsonPath: '.status.readyWorkers' },
  { name: 'Queue', type: 'integer', jsonPath: '.status.queuedTasks', priority: 1 },
  { name: 'Image', type: 'string', jsonPath: '.status.image', priority: 1 },
];

/** File name below `crds/` to its text. */
export function crdFiles(): Record<string, string> {
  const status = structural(DocumentStatusSchema);
  const rule = documentSpec(RuleSchema, (properties) => ({
    ...properties,
    conditions: conditionSchema(CONDITION_DEPTH),
  }));
  const named = {
    rule: `self.metadata.name.size() <= ${String(CLUSTER_NAME_CHARS_MAX)}`,
    message: `the name has at most ${String(CLUSTER_NAME_CHARS_MAX)} characters`,
  };
  return {
    'districclusters.yaml': crd(
      'DistricCluster',
      structural(CLUSTER_RESOURCE.spec),
      structural(CLUSTER_RESOURCE.status),
      CLUSTER_COLUMNS,
      [named],
    ),
    'rules.yaml': crd('Rule', rule, status, [
      ...DOCUMENT_COLUMNS.slice(0, 1),
      { name: 'Priority', type: 'integer', jsonPath: '.spec.priority' },
      ...DOCUMENT_COLUMNS.slice(1),
    ]),
    'workflows.yaml': crd('Workflow', documentSpec(WorkflowSchema), status, DOCUMENT_COLUMNS),
  };
}
