/** The workflow document: a DAG of tasks. What this version cannot execute is refused, never ignored. */
import { Type, type Static } from 'typebox';
import type { FieldError } from '../base/errors.ts';
import {
  CLOSED,
  DescriptionSchema,
  IdSchema,
  JsonObjectSchema,
  ManagedBySchema,
  RetrySchema,
  VersionSchema,
} from './common-schema.ts';
import { SelectorSchema } from './selector.ts';
import { DurationSchema, durationFaults } from './duration.ts';
import { compileParse, FAULTS_MAX, quote, refuseFaults, refuseUnbounded } from './validation.ts';
import { nearestWord } from './nearest-word.ts';

export const WORKFLOW_TASKS_MAX = 1_000;

const TaskSchema = Type.Object(
  {
    id: IdSchema,
    type: IdSchema,
    description: Type.Optional(DescriptionSchema),
    config: Type.Optional(JsonObjectSchema),
    depends_on: Type.Optional(Type.Array(IdSchema, { maxItems: WORKFLOW_TASKS_MAX - 1 })),
    selector: Type.Optional(SelectorSchema),
    timeout: Type.Optional(DurationSchema),
    retry: Type.Optional(RetrySchema),
  },
  CLOSED,
);

export const WorkflowSchema = Type.Object(
  {
    id: IdSchema,
    version: Type.Optional(VersionSchema),
    description: Type.Optional(DescriptionSchema),
    selector: Type.Optional(SelectorSchema),
    timeout: Type.Optional(DurationSchema),
    managedBy: Type.Optional(ManagedBySchema),
    tasks: Type.Array(TaskSchema, { minItems: 1, maxItems: WORKFLOW_TASKS_MAX }),
  },
  CLOSED,
);

/** One task as documented; `timeout` in seconds or as text, read it with `durationMs`. */
export type Task = Static<typeof TaskSchema>;
/** A workflow in canonical form: the version is there (1 unless given). */
export type Workflow = Static<typeof WorkflowSchema> & { version: number | string };

const LATER = [
  ...['when', 'join', 'input', 'on_failure', 'compensate', 'for_each', 'parallelism', 'wait'],
  ...['on_failure_workflow', 'priority', 'deadline', 'concurrency'],
];
const check = compileParse(WorkflowSchema, LATER);

/**
 * The workflow in `input` (parsed JSON or YAML), or throws INVALID_DOCUMENT with every fault found:
 * wrong types, unknown properties, duplicate ids, unknown dependencies, cycles.
 */
export function parseWorkflow(input: unknown): Workflow {
  refuseUnbounded('workflow', input);
  const document = check('workflow', input);
  refuseFaults(`workflow ${quote(document.id)}`, [...timeoutFaults(document), ...graphFaults(document.tasks)]);
  const { id, version = 1, ...rest } = document;
  return { id, version, ...rest };
}

function timeoutFaults(workflow: Static<typeof WorkflowSchema>): FieldError[] {
  return [
    ...durationFaults('timeout', workflow.timeout),
    ...workflow.tasks.flatMap((task, i) => durationFaults(`tasks[${i}].timeout`, task.timeout)),
  ];
}

function graphFaults(tasks: readonly Task[]): FieldError[] {
  const faults: FieldError[] = [];
  const indexById = new Map<string, number>();
  tasks.forEach((task, i) => {
    const first = indexById.get(task.id);
    if (first === undefined) indexById.set(task.id, i);
    else faults.push({ field: `tasks[${i}].id`, reason: `duplicate id ${quote(task.id)}: tasks[${first}] has it too` });
  });
  tasks.forEach((task, i) => {
    const seen = new Set<string>();
    (task.depends_on ?? []).forEach((dependency, j) => {
      const reason = seen.has(dependency)
        ? `duplicate dependency ${quote(dependency)}`
        : dependencyFault(task.id, dependency, indexById);
      seen.add(dependency);
      // Past the cap a fault is not told, and looking for the nearest word would cost for nothing.
      if (reason !== undefined && faults.length < FAULTS_MAX) {
        faults.push({ field: `tasks[${i}].depends_on[${j}]`, reason: reason + suggestion(dependency, indexById) });
      }
    });
  });
  if (faults.length > 0) return faults;
  const cycle = findCycle(tasks, indexById);
  return cycle === undefined ? [] : [cycle];
}

function dependencyFault(id: string, dependency: string, indexById: ReadonlyMap<string, number>): string | undefined {
  if (dependency === id) return `task ${quote(id)} depends on itself`;
  return indexById.has(dependency) ? undefined : `unknown task ${quote(dependency)}`;
}

function suggestion(dependency: string, indexById: ReadonlyMap<string, number>): string {
  const nearest = indexById.has(dependency) ? undefined : nearestWord(dependency, [...indexById.keys()]);
  return nearest === undefined ? '' : `; did you mean ${quote(nearest)}?`;
}

/** Depth-first search with its own stack; the grey path is the cycle, told as `a -> b -> a` (a depends on b). */
function findCycle(tasks: readonly Task[], indexById: ReadonlyMap<string, number>): FieldError | undefined {
  const done = new Set<string>();
  for (const root of tasks) {
    const path: { task: Task; next: number }[] = [{ task: root, next: 0 }];
    const onPath = new Set([root.id]);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const dependency = top.task.depends_on?.[top.next++];
      if (dependency === undefined) {
        done.add(top.task.id);
        onPath.delete(top.task.id);
        path.pop();
      } else if (onPath.has(dependency)) {
        const ids = path.map((step) => step.task.id);
        const cycle = [...ids.slice(ids.indexOf(dependency)), dependency].join(' -> ');
        const field = `tasks[${indexById.get(top.task.id) ?? 0}].depends_on[${top.next - 1}]`;
        return { field, reason: `cycle: ${cycle}` };
      } else if (!done.has(dependency)) {
        const task = tasks[indexById.get(dependency) ?? -1];
        if (task !== undefined) path.push({ task, next: 0 });
        onPath.add(dependency);
      }
    }
  }
  return undefined;
}
