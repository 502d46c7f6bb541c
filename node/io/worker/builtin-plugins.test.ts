import { describe, expect, it } from '@jest/globals';
import { PluginTable } from './plugin-table.ts';
import type { Logger } from '../../plugins/sdk.ts';
import { builtinPlugins } from '../../plugins/builtin/catalog.ts';

const lines: { level: string; message: string; fields: Record<string, unknown> | undefined }[] = [];
const at = (level: string) => (message: string, fields?: Record<string, unknown>) => {
  lines.push({ level, message, fields });
};
const log: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };

const table = new PluginTable();
for (const plugin of builtinPlugins({ httpAllow: '' })) await table.add(plugin, [], log);

interface Answer {
  status: string;
  output: unknown;
  error: string | undefined;
}

async function run(type: string, config: unknown, message: unknown = {}, signal?: AbortSignal): Promise<Answer> {
  const context = Buffer.from(
    JSON.stringify({
      workflow: 'w',
      message_id: 'm-1',
      config,
      params: { rate: 2 },
      message,
      outputs: { first: { score: 3 } },
    }),
  );
  const request = { instanceId: 'i', taskId: 't', token: 1, attempt: 1, type, context };
  const { status, output, error } = await table.execute(request, signal ?? new AbortController().signal, log);
  return { status, output: output === undefined ? undefined : JSON.parse(Buffer.from(output).toString()), error };
}

describe('log', () => {
  it('writes the configured message at the configured level', async () => {
    expect(await run('log', { message: 'well', level: 'warn' })).toMatchObject({
      status: 'ok',
      output: { logged: true },
    });
    expect(lines.at(-1)).toEqual({ level: 'warn', message: 'well', fields: { message_id: 'm-1', workflow: 'w' } });
  });

  it('writes the event type by default', async () => {
    await run('log', {}, { event_type: 'push' });
    expect(lines.at(-1)).toMatchObject({ level: 'info', message: 'push' });
    await run('log', {});
    expect(lines.at(-1)).toMatchObject({ message: 'message without an event_type' });
  });

  it('refuses an unknown setting', async () => {
    expect(await run('log', { mesage: 'x' })).toMatchObject({ status: 'terminal' });
  });
});

describe('delay', () => {
  it('waits, and stops waiting when aborted', async () => {
    expect(await run('delay', { ms: 1 })).toMatchObject({ status: 'ok', output: { waited_ms: 1 } });
    expect(await run('delay', { ms: 60_000 }, {}, AbortSignal.timeout(5))).toMatchObject({ status: 'retryable' });
    expect(await run('delay', {})).toMatchObject({ status: 'terminal' });
  });
});

describe('payment_validator', () => {
  it.each([
    [100, { valid: true, over_threshold: false, amount: 100 }],
    [10_001, { valid: true, over_threshold: true, amount: 10_001 }],
    [0, { valid: false, over_threshold: false, amount: 0, reason: 'amount must be over 0' }],
    [1_000_000, { valid: false, over_threshold: true, amount: 1_000_000, reason: 'amount must be under 1000000' }],
    ['100', { valid: false, over_threshold: false, amount: null, reason: 'amount is not a number' }],
    [undefined, { valid: false, over_threshold: false, amount: null, reason: 'amount is missing' }],
  ])('judges the amount %s', async (amount, output) => {
    expect(await run('payment_validator', { threshold: 10_000 }, { amount })).toMatchObject({ status: 'ok', output });
  });

  it('marks nothing without a threshold', async () => {
    expect((await run('payment_validator', {}, { amount: 999_999 })).output).toMatchObject({ over_threshold: false });
  });
});

describe('transform', () => {
  const evaluate = (expression: string, message: unknown = {}) => run('transform', { expression }, message);

  it('evaluates over message, params and outputs', async () => {
    const expression = '{ "total": $sum(message.items.price) * params.rate, "score": outputs.first.score }';
    const { output } = await evaluate(expression, { items: [{ price: 1 }, { price: 2 }] });
    expect(output).toEqual({ total: 6, score: 3 });
    expect(await evaluate('message.nothing')).toMatchObject({ status: 'ok', output: null });
  });

  it('matches, replaces and splits by regular expressions', async () => {
    const message = { text: 'Fix #12 and FIX #345' };
    expect((await evaluate('$match(message.text, /fix #([0-9]+)/i).groups', message)).output).toEqual(['12', '345']);
    expect((await evaluate('$replace(message.text, /#([0-9]+)/, "<$1>")', message)).output).toBe(
      'Fix <12> and FIX <345>',
    );
    expect((await evaluate('$split(message.text, /\\s+/)', message)).output).toEqual([
      'Fix',
      '#12',
      'and',
      'FIX',
      '#345',
    ]);
    expect((await evaluate('$contains(message.text, /^a/)', message)).output).toBe(false);
    expect((await evaluate('$pad("a", 4, "xy") & $pad("b", -3)')).output).toBe('axyx  b');
  });

  it.each([
    ['a faulty expression', '{ "a": ', 'expression'],
    ['a failing one', '1 + "a"', 'the expression failed'],
    ['an endless one', '($f := function(){ $f() }; $f())', 'timeout after 1000'],
    ['a deep one', '($f := function($n){ 1 + $f($n + 1) }; $f(0))', 'the expression failed'],
    ['a wide one', '[1..10000000]', 'the expression failed'],
    ['a hungry one', '$pad("x", 500000000)', 'over the limit of 262144'],
    ['a look-ahead', '$match("a", /(?=a)/)', 'the expression failed'],
  ])('fails terminally on %s', async (_what, expression, error) => {
    expect(await evaluate(expression)).toMatchObject({
      status: 'terminal',
      error: expect.stringContaining(error) as unknown,
    });
  });

  it('is not held by a pattern that backtracks', async () => {
    const message = { text: `${'a'.repeat(50_000)}b` };
    expect((await evaluate('$match(message.text, /^(a+)+$/)', message)).output).toBeNull();
  });
});
