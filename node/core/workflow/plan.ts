/** A workflow document compiled for scheduling: dependencies as positions, texts and durations ready to use. */
import { durationMs } from '../../../api/duration.ts';
import type { Workflow } from '../../../api/workflow.ts';
import { assert } from '../../../base/assert.ts';

/** A task that names no time-out gets this one. */
export const TASK_TIMEOUT_MS_DEFAULT = 5 * 60_000;
/** An instance whose workflow and rule name no time-out ends after this. */
export const INSTANCE_TIMEOUT_MS_DEFAULT = 24 * 3_600_000;

/** What a task asks of a worker. */
export interface Demand {
  /** The same for all that ask the same. */
  key: string;
  workflow: string;
  type: string;
  /** Of each list the worker has to have one as a label, `name=value`. */
  selector: readonly (readonly string[])[];
}

export interface PlanTask {
  id: string;
  type: string;
  demand: Demand;
  /** JSON text, as handed to the plugin. */
  configJson: string;
  timeoutMs: number;
  /** Retries after the first attempt; undefined: the rule's action decides, else none. */
  retryMax: number | undefined;
  dependsOn: readonly number[];
  dependents: readonly number[];
}

export interface Plan {
  workflow: string;
  revision: number;
  tasks: readonly PlanTask[];
  timeoutMs: number | undefined;
}

/** What a task says of a label goes before what its workflow says of it. */
function demandOf(document: Workflow, { type, selector }: Workflow['tasks'][number]): Demand {
  const wanted = Object.entries({ ...document.selector, ...selector }).sort(([a], [b]) => (a < b ? -1 : 1));
  const alternatives = wanted.map(([name, values]) =>
    (typeof values === 'string' ? [values] : values).map((value) => `${name}=${value}`),
  );
  const workflow = document.id;
  const key = [workflow, type, ...alternatives.map((labels) => labels.join('|'))].join(' ');
  return { key, workflow, type, selector: alternatives };
}

/** `document` has passed `parseWorkflow`: ids are unique, dependencies known, and there is no cycle. */
export function planOf(document: Workflow, revision: number): Plan {
  const positions = new Map(document.tasks.map((task, position) => [task.id, position]));
  const dependents: number[][] = document.tasks.map(() => []);
  const tasks = document.tasks.map((task, position) => {
    const dependsOn = [...new Set(task.depends_on ?? [])].map((id) => {
      const dependency = positions.get(id);
      assert(dependency !== undefined, `task ${task.id} depends on a task of its workflow`);
      dependents[dependency]?.push(position);
      return dependency;
    });
    return {
      id: task.id,
      type: task.type,
      demand: demandOf(document, task),
      configJson: JSON.stringify(task.config ?? {}),
      timeoutMs: task.timeout === undefined ? TASK_TIMEOUT_MS_DEFAULT : durationMs(task.timeout),
      retryMax: task.retry,
      dependsOn,
      dependents: dependents[position] ?? [],
    };
  });
  return {
    workflow: document.id,
    revision,
    tasks,
    timeoutMs: document.timeout === undefined ? undefined : durationMs(document.timeout),
  };
}
