/**
 * Runs a workflow on one message in this process: every task once, its dependencies first, no cluster and no retries.
 * For trying out documents and plugins; what a task sees is what a worker would show it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseAllDocuments } from 'yaml';
import { parseDocuments } from '../api/documents.ts';
import type { Rule } from '../api/rule.ts';
import type { Workflow } from '../api/workflow.ts';
import type { Plugin, TaskContext } from '../node/plugins/sdk.ts';

/** All YAML documents below a directory, checked. Throws what the parser throws, with the file's name. */
export function readDocuments(directory: string): { rules: Rule[]; workflows: Workflow[] } {
  const values = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .flatMap((name) =>
      parseAllDocuments(readFileSync(path.join(directory, name), 'utf8')).map((document) => {
        if (document.errors[0] !== undefined) throw new Error(`read ${name}: ${document.errors[0].message}`);
        return document.toJS() as unknown;
      }),
    );
  return parseDocuments(values);
}

/** The context of a first attempt; what `given` leaves out is empty. */
export function taskContext<Config extends object>(given: {
  [K in keyof TaskContext<Config>]?: TaskContext<Config>[K];
}): TaskContext<Config> {
  const message = given.message ?? {};
  return {
    message,
    input: message,
    messageId: 'message-1',
    params: {},
    config: {} as Config,
    outputs: {},
    instanceId: 'instance-1',
    taskId: 'task',
    workflow: 'test',
    attempt: 1,
    token: 1,
    idempotencyKey: 'instance-1/task',
    signal: new AbortController().signal,
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    ...given,
  };
}

function ignore(): void {
  // A dry run has no log.
}

/** A plugin, and the check that its config schema makes; the check also fills in the schema's defaults. */
export interface Callable {
  plugin: Plugin;
  check: ValidateFunction;
}

/** Plugins by the type they give to tasks. */
export function pluginTable(plugins: readonly Plugin<never>[]): ReadonlyMap<string, Callable> {
  const ajv = new Ajv2020({ useDefaults: true, allowUnionTypes: true });
  return new Map(
    plugins.map((plugin) => [
      plugin.name,
      // What type a config has, only the schema knows at run time: `configured` holds every config to it.
      { plugin, check: ajv.compile(plugin.configSchema ?? {}) },
    ]),
  );
}

/** A copy of the config with the defaults of the plugin's schema; throws when it does not fit. */
function configured({ plugin, check }: Callable, config: Record<string, unknown>): Record<string, unknown> {
  const copy = structuredClone(config);
  if (check(copy)) return copy;
  const faults = (check.errors ?? []).map((error) => `${error.instancePath} ${error.message ?? ''}`);
  throw new Error(`config of a ${plugin.name}: ${faults.join(', ')}`);
}

/** Outputs by task id. Rejects with what the first failing task throws. */
export async function dryRun(
  workflow: Workflow,
  plugins: ReadonlyMap<string, Callable>,
  start: { instanceId: string; message: Record<string, unknown>; params: Record<string, unknown> },
): Promise<ReadonlyMap<string, unknown>> {
  const outputs = new Map<string, unknown>();
  const waiting = new Set(workflow.tasks);
  while (waiting.size > 0) {
    const ready = [...waiting].filter((task) => (task.depends_on ?? []).every((id) => outputs.has(id)));
    if (ready.length === 0) throw new Error(`run workflow ${workflow.id}: its tasks wait for each other`);
    for (const task of ready) waiting.delete(task);
    await Promise.all(
      ready.map(async (task) => {
        const callable = plugins.get(task.type);
        if (callable === undefined) throw new Error(`run task ${task.id}: no plugin of type ${task.type}`);
        const output = await callable.plugin.execute(
          taskContext({
            ...start,
            workflow: workflow.id,
            taskId: task.id,
            idempotencyKey: `${start.instanceId}/${task.id}`,
            config: configured(callable, task.config ?? {}),
            outputs: Object.fromEntries((task.depends_on ?? []).map((id) => [id, outputs.get(id)])),
          }),
        );
        // As over the wire: an output is JSON.
        outputs.set(task.id, JSON.parse(JSON.stringify(output ?? null)));
      }),
    );
  }
  return outputs;
}
