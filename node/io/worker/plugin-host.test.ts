import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../plugins/sdk.ts';
import { PluginHost, type AttemptResult, type PluginHostOptions } from './plugin-host.ts';

/** One file of plugins' sources per behaviour; they import the SDK by the name that users write. */
const SOURCES: Record<string, string> = {
  'echo.plugin.ts': `
    import { definePlugin } from 'distric/plugin';
    interface Config { greeting: string }
    export const plugin = definePlugin<Config>({
      name: 'echo', version: '1.2.3',
      configSchema: { type: 'object', properties: { greeting: { type: 'string', default: 'hello' } } },
      validateConfig: (config) => { if (config.greeting === 'bad word') throw new Error('mind your language'); },
      execute: ({ log, signal, ...rest }) => {
        log.info('from ctx.log', { five: 5 });
        console.log('from console.log');
        return { ...rest, aborted: signal.aborted, pid: process.pid, token: process.env['DISTRIC_JOIN_TOKEN'] ?? null };
      },
    });`,
  'fail.plugin.mjs': `
    import { RetryableError, TerminalError } from 'distric/plugin';
    const how = {
      retryable: () => { throw new RetryableError('try again'); },
      terminal: () => { throw new TerminalError('give up'); },
      other: () => { throw new TypeError('oops'); },
      large: () => 'x'.repeat(256 * 1024 - 1),
      largest: () => 'x'.repeat(256 * 1024 - 2),
      cycle: () => { const a = {}; a.a = a; return a; },
      function: () => () => 1,
      nothing: () => undefined,
    };
    export default { name: 'fail', version: '1', execute: ({ config }) => how[config.how]() };`,
  'harm.plugin.mjs': `
    const forever = new Promise(() => {});
    const kept = [];
    const how = {
      loop: () => { for (;;); },
      exit: () => process.exit(7),
      hold: () => forever,
      abortable: (signal) => new Promise((_, reject) => {
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener('abort', () => reject(signal.reason));
      }),
      stray: () => { setTimeout(() => { throw new Error('from a timer'); }); return forever; },
      allocate: () => new Promise(() => setInterval(() => kept.push(Buffer.alloc(8e6, 1)), 5)),
      pid: () => process.pid,
    };
    export const plugin = {
      name: 'harm', version: '1',
      execute: async ({ config, signal, log }) => {
        log.info('harm starts', { pid: process.pid, how: config.how });
        // The line above must be out before the process goes under.
        await new Promise((resolve) => setTimeout(resolve, 20));
        return how[config.how](signal);
      },
    };`,
  'bystander.plugin.mjs': `
    export const plugin = {
      name: 'bystander', version: '1',
      execute: ({ log, signal }) => {
        log.info('bystander starts');
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    };`,
};

const BROKEN: Record<string, string> = {
  'a-syntax.plugin.mjs': 'export const plugin = {',
  'b-shape.plugin.mjs': `export const plugin = { name: 'x', version: '1' };`,
  'c-none.plugin.mjs': 'export const other = 1;',
  'd-builtin.plugin.mjs': `export const plugin = { name: 'http', version: '1', execute() {} };`,
  'e-schema.plugin.mjs': `export const plugin = { name: 'e', version: '1', configSchema: { type: 'nonsense' }, execute() {} };`,
  'f-init.plugin.mjs': `export const plugin = { name: 'f', version: '1', init() { throw new Error('no database'); }, execute() {} };`,
  'g-exit.plugin.mjs': 'process.exit(3);',
  'h-good.plugin.mjs': `export const plugin = { name: 'good', version: '1', execute: () => 1 };`,
  'i-twice.plugin.mjs': `export const plugin = { name: 'good', version: '2', execute: () => 2 };`,
  'j-loop.plugin.mjs': 'for (;;);',
  'not-a-plugin.mjs': 'process.exit(4);',
};

interface Line {
  message: string;
  fields: Record<string, unknown>;
}

/** Collects the worker's log and lets a test wait for a line instead of sleeping. */
class LogProbe {
  readonly lines: Line[] = [];
  #waiters: (() => void)[] = [];
  readonly log: Logger;

  constructor() {
    const line = (message: string, fields: Record<string, unknown> = {}) => {
      this.lines.push({ message, fields });
      for (const waiter of this.#waiters) waiter();
    };
    this.log = { debug: line, info: line, warn: line, error: line };
  }

  /** The first line at or after index `from` that fits. */
  async line(from: number, fits: (line: Line) => boolean): Promise<Line> {
    for (;;) {
      const found = this.lines.slice(from).find(fits);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }
}

const probe = new LogProbe();
const directories: string[] = [];
let lastToken = 0;

function directoryOf(sources: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), 'distric-plugins-'));
  directories.push(directory);
  for (const [name, source] of Object.entries(sources)) writeFileSync(join(directory, name), source);
  return directory;
}

function startHost(overrides: Partial<PluginHostOptions>): Promise<PluginHost> {
  const defaults = { pluginDirs: [], processes: 1, slots: 4, memoryMb: 256, log: probe.log, timeoutGraceMs: 1_500 };
  return PluginHost.start({ ...defaults, ...overrides });
}

interface Sent {
  token: number;
  result: Promise<AttemptResult>;
}

function send(
  host: PluginHost,
  type: string,
  config: unknown,
  extra: { timeoutMs?: number; message?: unknown } = {},
): Sent {
  const token = ++lastToken;
  const context = new TextEncoder().encode(
    JSON.stringify({
      workflow: 'w',
      revision: 'r',
      message_id: 'm-1',
      config,
      params: { p: 1 },
      message: extra.message ?? { event_type: 'test' },
      outputs: { before: 2 },
    }),
  );
  const spec = {
    instanceId: 'i-1',
    taskId: 't 1',
    token,
    attempt: 1,
    type,
    timeoutMs: extra.timeoutMs ?? 60_000,
    context,
  };
  return { token, result: new Promise((resolve) => host.run(spec, resolve)) };
}

function run(host: PluginHost, type: string, config: unknown, extra = {}): Promise<AttemptResult> {
  return send(host, type, config, extra).result;
}

function outputOf(result: AttemptResult): unknown {
  return result.output === undefined ? undefined : JSON.parse(new TextDecoder().decode(result.output));
}

afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});

describe('a plugin host with plugins in child processes', () => {
  let host: PluginHost;
  beforeAll(async () => {
    process.env['DISTRIC_JOIN_TOKEN'] = 'secret';
    host = await startHost({ pluginDirs: [directoryOf(SOURCES)], memoryMb: 200 });
  });
  afterAll(async () => {
    await host.close(0);
    expect(host.stats().processes).toEqual([]);
  });

  /** Runs `harm` beside an attempt that does nothing, both in the one process. */
  async function harmBeside(how: string, timeoutMs = 60_000): Promise<{ harm: AttemptResult; bystander: Sent }> {
    const bystander = await startBystander(60_000);
    return { harm: await run(host, 'harm', { how }, { timeoutMs }), bystander };
  }

  async function startBystander(timeoutMs: number): Promise<Sent> {
    const from = probe.lines.length;
    const bystander = send(host, 'bystander', {}, { timeoutMs });
    await probe.line(from, ({ message }) => message === 'bystander starts');
    return bystander;
  }

  it('lists built-in and user types with version and schema', () => {
    const echo = host.types.find(({ name }) => name === 'echo');
    expect(echo).toMatchObject({ version: '1.2.3' });
    expect(JSON.parse(echo?.configSchema ?? '')).toMatchObject({ type: 'object' });
    expect(host.types.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['log', 'transform', 'http', 'webhook', 'payment_validator', 'delay', 'fail']),
    );
    expect(host.loadErrors).toEqual([]);
  });

  it('hands the context over, in another process that does not see the settings of the node', async () => {
    const from = probe.lines.length;
    const result = await run(host, 'echo', { a: 1 });
    expect(outputOf(result)).toMatchObject({
      input: { event_type: 'test' },
      message: { event_type: 'test' },
      messageId: 'm-1',
      params: { p: 1 },
      config: { a: 1, greeting: 'hello' },
      outputs: { before: 2 },
      workflow: 'w',
      instanceId: 'i-1',
      taskId: 't 1',
      attempt: 1,
      idempotencyKey: 'i-1/t%201',
      aborted: false,
      token: null,
    });
    expect(result.durationMs).toBeGreaterThan(0);
    expect((outputOf(result) as { pid: number }).pid).not.toBe(process.pid);
    const { fields } = await probe.line(from, ({ message }) => message === 'from ctx.log');
    expect(fields).toMatchObject({ five: 5, instance: 'i-1', task: 't 1', type: 'echo' });
    await probe.line(from, ({ message }) => message === 'from console.log');
  });

  it.each([
    ['retryable', 'retryable', 'try again'],
    ['terminal', 'terminal', 'give up'],
    ['other', 'retryable', 'oops'],
    ['large', 'terminal', '262145 bytes; the limit is 262144 (256 KiB)'],
    ['cycle', 'terminal', 'the output is not JSON'],
    ['function', 'terminal', 'the output is not JSON'],
  ])('%s: reports %s and why', async (how, status, error) => {
    expect(await run(host, 'fail', { how })).toMatchObject({ status, error: expect.stringContaining(error) });
  });

  it('takes an output of exactly the limit, and nothing as null', async () => {
    expect(outputOf(await run(host, 'fail', { how: 'largest' }))).toHaveLength(256 * 1024 - 2);
    expect(outputOf(await run(host, 'fail', { how: 'nothing' }))).toBeNull();
  });

  it('refuses a config that fits neither schema nor validateConfig, an unknown type and a large context', async () => {
    const results = [
      await run(host, 'echo', { greeting: 5 }),
      await run(host, 'echo', { greeting: 'bad word' }),
      await run(host, 'nobody', {}),
      await run(host, 'echo', {}, { message: { text: 'x'.repeat(4 * 1024 * 1024) } }),
    ];
    expect(results.map(({ status }) => status)).toEqual(['terminal', 'terminal', 'terminal', 'terminal']);
    expect(results.map(({ error }) => error)).toEqual([
      expect.stringContaining('config.greeting must be string'),
      expect.stringContaining('mind your language'),
      expect.stringContaining('unknown task type "nobody"'),
      expect.stringContaining('the limit is 4194304 (4 MiB)'),
    ]);
  });

  it('aborts the signal of a cancelled attempt, and of one over its time-out', async () => {
    const from = probe.lines.length;
    const cancelled = send(host, 'harm', { how: 'abortable' });
    await probe.line(from, ({ message }) => message === 'harm starts');
    host.cancel('i-1', 't 1', cancelled.token);
    expect(await cancelled.result).toMatchObject({ status: 'retryable', error: 'the attempt was cancelled' });
    const late = await run(host, 'harm', { how: 'abortable' }, { timeoutMs: 100 });
    expect(late).toMatchObject({ status: 'retryable', error: 'timed out after 100 ms' });
    expect(host.stats().restarts).toBe(0);
  });

  it('answers lost when all slots are taken', async () => {
    const held = [1, 2, 3, 4].map(() => send(host, 'harm', { how: 'abortable' }));
    expect(await run(host, 'echo', {})).toMatchObject({
      status: 'lost',
      error: expect.stringContaining('all 4 slots'),
    });
    for (const { token } of held) host.cancel('i-1', 't 1', token);
    await Promise.all(held.map(({ result }) => result));
    expect(host.stats().running).toBe(0);
  });

  it('charges a killed process to the attempt that ran alone in it, and goes on in a new one', async () => {
    const from = probe.lines.length;
    const result = run(host, 'harm', { how: 'hold' });
    const { fields } = await probe.line(from, ({ message }) => message === 'harm starts');
    process.kill(fields['pid'] as number, 'SIGKILL');
    expect(await result).toMatchObject({ status: 'retryable', error: 'plugin process exited with signal SIGKILL' });
    expect(outputOf(await run(host, 'harm', { how: 'pid' }))).not.toBe(fields['pid']);
  });

  it('charges an endless loop to the attempt that loops; the bystander is lost', async () => {
    const { harm, bystander } = await harmBeside('loop', 100);
    expect(harm).toMatchObject({ status: 'retryable', error: expect.stringContaining('ran over its time-out') });
    expect(await bystander.result).toMatchObject({ status: 'lost' });
  });

  it('charges an endless loop to the attempt that loops when the bystander times out first', async () => {
    const bystander = await startBystander(200);
    const harm = await run(host, 'harm', { how: 'loop' });
    expect(harm).toMatchObject({ status: 'retryable', error: expect.stringContaining('blocked its plugin process') });
    expect(await bystander.result).toMatchObject({ status: 'lost' });
  });

  it('charges an attempt that ignores its time-out; the bystander is lost', async () => {
    const { harm, bystander } = await harmBeside('hold', 100);
    expect(harm).toMatchObject({ status: 'retryable', error: expect.stringContaining('ran over its time-out') });
    expect(await bystander.result).toMatchObject({ status: 'lost' });
  });

  it('charges a stray error to its attempt, harms no bystander and replaces the process', async () => {
    const { harm, bystander } = await harmBeside('stray');
    expect(harm).toMatchObject({ status: 'retryable', error: expect.stringContaining('from a timer') });
    expect(host.stats().processes.map(({ state }) => state)).toContain('retiring');
    expect(await run(host, 'echo', {})).toMatchObject({ status: 'ok' });
    host.cancel('i-1', 't 1', bystander.token);
    expect(await bystander.result).toMatchObject({ status: 'retryable', error: 'the attempt was cancelled' });
    expect(host.stats().processes.map(({ state }) => state)).not.toContain('retiring');
  });

  it('does not charge when the guilty one is not known, and runs it alone next time', async () => {
    const { harm, bystander } = await harmBeside('exit');
    expect(harm).toMatchObject({ status: 'lost', error: expect.stringContaining('exited with code 7') });
    expect(await bystander.result).toMatchObject({ status: 'lost' });
    const again = await harmBeside('exit');
    expect(again.harm).toMatchObject({ status: 'retryable', error: 'plugin process exited with code 7' });
    expect(host.stats().running).toBe(1);
    host.cancel('i-1', 't 1', again.bystander.token);
    await again.bystander.result;
  });

  it('kills a process whose memory runs away, buffers included', async () => {
    const result = await run(host, 'harm', { how: 'allocate' });
    expect(result).toMatchObject({ status: 'retryable', error: expect.stringContaining('the limit is 200 MiB') });
  });
});

describe('a plugin host with plugins that do not load', () => {
  it('names each file and reason, and starts with the others', async () => {
    const host = await startHost({ pluginDirs: [directoryOf(BROKEN), '/nowhere/plugins'], startTimeoutMs: 2_000 });
    const errors: unknown = Object.fromEntries(
      host.loadErrors.map(({ file, error }) => [file.split('/').at(-1), error]),
    );
    expect(errors).toEqual({
      'a-syntax.plugin.mjs': expect.stringContaining('Unexpected'),
      'b-shape.plugin.mjs': '"execute" must be a function',
      'c-none.plugin.mjs': expect.stringContaining('export the plugin as "plugin"'),
      'd-builtin.plugin.mjs': 'the name "http" belongs to a built-in plugin',
      'e-schema.plugin.mjs': expect.stringContaining('"configSchema" is not a valid JSON Schema'),
      'f-init.plugin.mjs': 'no database',
      'g-exit.plugin.mjs': 'its loading ended the process: code 3',
      'i-twice.plugin.mjs': 'the name "good" is taken by another plugin file',
      'j-loop.plugin.mjs': expect.stringContaining('not ready after 2000 ms'),
      plugins: expect.stringContaining("can't be read") as unknown,
    });
    expect(outputOf(await run(host, 'good', {}))).toBe(1);
    await host.close(1_000);
    expect(await run(host, 'good', {})).toMatchObject({ status: 'lost' });
  });
});

describe('a plugin host with built-in plugins only', () => {
  it('starts no process and runs them in its own', async () => {
    const host = await startHost({});
    expect(host.stats().processes).toEqual([]);
    expect(outputOf(await run(host, 'log', {}))).toEqual({ logged: true });
    expect(probe.lines.at(-1)).toMatchObject({ message: 'test', fields: { instance: 'i-1', workflow: 'w' } });
    expect(await run(host, 'delay', { ms: 60_000 }, { timeoutMs: 20 })).toMatchObject({
      status: 'retryable',
      error: 'timed out after 20 ms',
    });
    await host.close(0);
  });

  it('lets running attempts finish within the grace of close, and gives the others back', async () => {
    const host = await startHost({});
    const results = [run(host, 'delay', { ms: 50 }), run(host, 'delay', { ms: 60_000 })];
    await host.close(300);
    expect((await Promise.all(results)).map(({ status }) => status)).toEqual(['ok', 'lost']);
  });

  it('refuses options out of range', async () => {
    await expect(startHost({ slots: 0 })).rejects.toThrow('set slots to an integer of at least 1, got 0');
    await expect(startHost({ memoryMb: 64 })).rejects.toThrow('set memoryMb to an integer of at least 128, got 64');
  });
});

describe('a plugin process whose worker was killed', () => {
  it('ends, even in an endless loop', async () => {
    const directory = directoryOf({ 'harm.plugin.mjs': SOURCES['harm.plugin.mjs'] ?? '' });
    const worker = join(directory, 'worker.mjs');
    const host = new URL('./plugin-host.ts', import.meta.url).href;
    writeFileSync(
      worker,
      `import { PluginHost } from ${JSON.stringify(host)};
       const line = (message, fields) => { if (message === 'harm starts') process.send(fields.pid); };
       const log = { debug: line, info: line, warn: line, error: line };
       const host = await PluginHost.start({ pluginDirs: [import.meta.dirname], processes: 1, slots: 1, memoryMb: 256, log });
       const context = new TextEncoder().encode(JSON.stringify({ config: { how: 'loop' } }));
       host.run({ instanceId: 'i', taskId: 't', token: 1, attempt: 1, type: 'harm', timeoutMs: 60_000, context }, () => {});`,
    );
    const child = fork(worker, [], { execArgv: [] });
    const [pid] = (await once(child, 'message')) as [number];
    child.kill('SIGKILL');
    await ended(pid);
    expect(isRunning(pid)).toBe(false);
  });
});

/** Resolves when no process has this id; a process that stays makes the test time out. */
async function ended(pid: number): Promise<void> {
  while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 50));
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
