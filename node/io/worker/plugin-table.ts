import { Buffer } from 'node:buffer';
import type { ValidateFunction } from 'ajv';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { isRetryable, type Logger, type AnyPlugin, type TaskContext } from '../../plugins/sdk.ts';
import { CLEANUP_TIMEOUT_MS, INIT_TIMEOUT_MS, OUTPUT_BYTES_MAX, errorText } from './plugin-protocol.ts';
import type { AttemptRequest, Outcome, PluginType } from './plugin-protocol.ts';

const NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;

interface Entry {
  plugin: AnyPlugin;
  validate: ValidateFunction | undefined;
}

/**
 * The plugins that this process can execute. The same class serves the built-in plugins inside the worker
 * and users' plugins inside a plugin process, so both see one behaviour.
 */
export class PluginTable {
  readonly #entries = new Map<string, Entry>();

  /** Throws an `Error` that says what is wrong: shape, taken name, schema, or failing `init`. */
  async add(candidate: unknown, reservedNames: readonly string[], log: Logger): Promise<void> {
    const plugin = asPlugin(candidate);
    if (reservedNames.includes(plugin.name)) throw new Error(`the name "${plugin.name}" belongs to a built-in plugin`);
    if (this.#entries.has(plugin.name)) throw new Error(`the name "${plugin.name}" is taken by another plugin file`);
    const validate = plugin.configSchema === undefined ? undefined : compileSchema(plugin.configSchema);
    await within(INIT_TIMEOUT_MS, 'init', () => plugin.init?.({ log }));
    this.#entries.set(plugin.name, { plugin, validate });
  }

  types(): PluginType[] {
    return [...this.#entries.values()].map(({ plugin }) => ({
      name: plugin.name,
      version: plugin.version,
      ...(plugin.configSchema === undefined ? {} : { configSchema: JSON.stringify(plugin.configSchema) }),
    }));
  }

  has(type: string): boolean {
    return this.#entries.has(type);
  }

  /** Never rejects: every failure of the plugin is an outcome. */
  async execute(request: AttemptRequest, signal: AbortSignal, log: Logger): Promise<Outcome> {
    const entry = this.#entries.get(request.type);
    if (entry === undefined) return { status: 'terminal', error: `unknown task type "${request.type}"` };
    let context: TaskContext;
    try {
      context = contextOf(request, signal, log);
    } catch (thrown) {
      return { status: 'terminal', error: `the attempt's context can't be read: ${errorText(thrown)}` };
    }
    const misfit = await configMisfit(entry, context.config);
    if (misfit !== undefined) return { status: 'terminal', error: misfit };
    try {
      return outcomeOf(await entry.plugin.execute(context));
    } catch (thrown) {
      return { status: isRetryable(thrown) ? 'retryable' : 'terminal', error: errorText(thrown) };
    }
  }

  /** Calls every plugin's `cleanup`; errors and overruns go to the log. */
  async close(log: Logger): Promise<void> {
    for (const { plugin } of this.#entries.values()) {
      try {
        await within(CLEANUP_TIMEOUT_MS, 'cleanup', () => plugin.cleanup?.());
      } catch (thrown) {
        log.warn('plugin cleanup failed', { plugin: plugin.name, error: errorText(thrown) });
      }
    }
    this.#entries.clear();
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Checks the shape at run time: a plugin file may be plain JavaScript. */
function asPlugin(candidate: unknown): AnyPlugin {
  if (!isRecord(candidate)) {
    throw new Error(
      'export the plugin as "plugin" (or as the default): an object made by definePlugin({name, version, execute})',
    );
  }
  const { name, version, configSchema, execute } = candidate;
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new Error(`"name" must match ${NAME.source}, got ${JSON.stringify(name)}`);
  }
  if (typeof version !== 'string' || version === '') throw new Error('"version" must be a non-empty string');
  if (typeof execute !== 'function') throw new Error('"execute" must be a function');
  for (const hook of ['init', 'cleanup', 'validateConfig']) {
    const value = candidate[hook];
    if (value !== undefined && typeof value !== 'function') throw new Error(`"${hook}" must be a function`);
  }
  if (configSchema !== undefined && !isRecord(configSchema))
    throw new Error('"configSchema" must be a JSON Schema object');
  return candidate as unknown as AnyPlugin;
}

function compileSchema(schema: Readonly<Record<string, unknown>>): ValidateFunction {
  // Unknown keywords are left alone: schemas written for other tools carry them.
  const options = { strict: false, allErrors: true, useDefaults: true };
  const draft7 = typeof schema['$schema'] === 'string' && schema['$schema'].includes('draft-07');
  try {
    return draft7 ? new Ajv(options).compile(schema) : new Ajv2020(options).compile(schema);
  } catch (thrown) {
    throw new Error(`"configSchema" is not a valid JSON Schema: ${errorText(thrown)}`, { cause: thrown });
  }
}

async function configMisfit(entry: Entry, config: Record<string, unknown>): Promise<string | undefined> {
  if (entry.validate !== undefined && !entry.validate(config)) {
    const faults = (entry.validate.errors ?? []).map(
      (fault) => `config${fault.instancePath.replaceAll('/', '.')} ${fault.message ?? 'does not fit'}`,
    );
    return errorText(`config does not fit the schema of "${entry.plugin.name}": ${faults.join('; ')}`);
  }
  try {
    await entry.plugin.validateConfig?.(config);
    return undefined;
  } catch (thrown) {
    return `config refused by "${entry.plugin.name}": ${errorText(thrown)}`;
  }
}

function contextOf(request: AttemptRequest, signal: AbortSignal, log: Logger): TaskContext {
  const { context: bytes } = request;
  const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const fields: unknown = JSON.parse(json);
  if (!isRecord(fields)) throw new Error('it is not a JSON object');
  const record = (name: string): Record<string, unknown> => {
    const value = fields[name];
    return isRecord(value) ? value : {};
  };
  const text = (name: string): string => {
    const value = fields[name];
    return typeof value === 'string' ? value : '';
  };
  const message = record('message');
  return {
    input: message,
    message,
    messageId: text('message_id'),
    params: record('params'),
    config: record('config'),
    outputs: record('outputs'),
    instanceId: request.instanceId,
    taskId: request.taskId,
    workflow: text('workflow'),
    attempt: request.attempt,
    token: request.token,
    // Escaped, so that it is valid in a header whatever the task's id holds.
    idempotencyKey: `${request.instanceId}/${encodeURIComponent(request.taskId)}`,
    signal,
    log,
  };
}

/** Undefined for functions and symbols, which the declared type of `JSON.stringify` leaves out. */
function toJson(value: unknown): string | undefined {
  return JSON.stringify(value);
}

function outcomeOf(output: unknown): Outcome {
  let text: string | undefined;
  try {
    text = toJson(output === undefined ? null : output);
  } catch (thrown) {
    return { status: 'terminal', error: `the output is not JSON: ${errorText(thrown)}` };
  }
  if (text === undefined) return { status: 'terminal', error: `the output is not JSON: it is a ${typeof output}` };
  const bytes = Buffer.byteLength(text, 'utf8');
  if (bytes > OUTPUT_BYTES_MAX) {
    return { status: 'terminal', error: `the output has ${bytes} bytes; the limit is ${OUTPUT_BYTES_MAX} (256 KiB)` };
  }
  return { status: 'ok', output: Buffer.from(text, 'utf8') };
}

async function within(limitMs: number, what: string, work: () => unknown): Promise<void> {
  const { promise: overrun, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what} took longer than ${limitMs} ms`)), limitMs);
  try {
    await Promise.race([work(), overrun]);
  } finally {
    clearTimeout(timer);
  }
}
