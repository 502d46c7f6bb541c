import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import { DistricError, type FieldError } from '../base/errors.ts';
import { parseWorkflow, WORKFLOW_TASKS_MAX } from './workflow.ts';

function faults(input: unknown): readonly FieldError[] {
  try {
    parseWorkflow(input);
  } catch (error) {
    if (!(error instanceof DistricError)) throw error;
    expect(error.code).toBe('INVALID_DOCUMENT');
    return error.fields;
  }
  throw new Error('not refused');
}

const task = (id: string, ...depends_on: string[]) => ({
  id,
  type: 'log',
  ...(depends_on.length > 0 && { depends_on }),
});
const workflow = (...tasks: unknown[]) => ({ id: 'w', tasks });

describe('parseWorkflow', () => {
  it('takes a workflow as people write it in YAML', () => {
    const parsed = parseWorkflow(
      parseYaml(`
id: "fraud_detection"
version: 1
tasks:
  - id: "validate_payment"
    type: "payment_validator"
    config:
      threshold: 10000
    timeout: 10
    retry: 2

  - id: "check_user_history"
    type: "user_history_checker"
    depends_on: ["validate_payment"]
    timeout: 15
    retry: 3

  - id: "ml_fraud_score"
    type: "ml_inference"
    depends_on: ["validate_payment", "check_user_history"]
    config:
      model: "fraud_v2"
    timeout: 20
    retry: 1

  - id: "send_notification"
    type: "webhook"
    depends_on: ["ml_fraud_score"]
    config:
      url: "https://api.example.com/fraud-alert"
    timeout: 5
    retry: 3
`),
    );
    expect(parsed.tasks.map(({ id, depends_on, timeout, retry }) => [id, depends_on, timeout, retry])).toEqual([
      ['validate_payment', undefined, 10, 2],
      ['check_user_history', ['validate_payment'], 15, 3],
      ['ml_fraud_score', ['validate_payment', 'check_user_history'], 20, 1],
      ['send_notification', ['ml_fraud_score'], 5, 3],
    ]);
    expect(parsed.tasks[0]?.config).toEqual({ threshold: 10_000 });
  });

  it('gives version 1 where none is written, and keeps a label', () => {
    expect(parseWorkflow(workflow(task('a'))).version).toBe(1);
    expect(parseWorkflow({ ...workflow(task('a')), version: '2.0-beta' }).version).toBe('2.0-beta');
  });

  it('names a cycle by its path', () => {
    expect(faults(workflow(task('a', 'b'), task('b', 'a')))).toEqual([
      { field: 'tasks[1].depends_on[0]', reason: 'cycle: a -> b -> a' },
    ]);
    const [fault] = faults(workflow(task('start'), task('a', 'start', 'c'), task('b', 'a'), task('c', 'start', 'b')));
    expect(fault?.reason).toBe('cycle: a -> c -> b -> a');
  });

  it('collects faults of ids and dependencies with their places', () => {
    expect(faults(workflow(task('alpha', 'alpha'), task('alpha'), task('b', 'alhpa', 'zzzzzz', 'zzzzzz')))).toEqual([
      { field: 'tasks[1].id', reason: 'duplicate id "alpha": tasks[0] has it too' },
      { field: 'tasks[0].depends_on[0]', reason: 'task "alpha" depends on itself' },
      { field: 'tasks[2].depends_on[0]', reason: 'unknown task "alhpa"; did you mean "alpha"?' },
      { field: 'tasks[2].depends_on[1]', reason: 'unknown task "zzzzzz"' },
      { field: 'tasks[2].depends_on[2]', reason: 'duplicate dependency "zzzzzz"' },
    ]);
  });

  it.each([
    [null, '$', 'must be an object, not null'],
    [[], '$', 'must be an object, not a list of 0'],
    [{ id: 'w' }, 'tasks', 'is required'],
    [workflow(), 'tasks', 'must have at least 1 items, not 0'],
    [{ ...workflow(task('a')), id: '-w' }, 'id', '"-w" is not an id'],
    [{ ...workflow(task('a')), id: 'x'.repeat(129) }, 'id', 'is not an id'],
    [{ ...workflow(task('a')), timeout: '5 minutes' }, 'timeout', '"5 minutes" is not a duration'],
    [{ ...workflow(task('a')), timeout: '0s' }, 'timeout', '"0s" is not a duration'],
    [{ ...workflow(task('a')), version: true }, 'version', 'true is not a version'],
    [workflow({ ...task('a'), retry: 101 }), 'tasks[0].retry', '101 is not a number of retries'],
    [workflow({ ...task('a'), retry: 1.5 }), 'tasks[0].retry', 'must be a whole number, not 1.5'],
    [workflow({ ...task('a'), timeout: '400d' }), 'tasks[0].timeout', '"400d" is not a duration'],
    [workflow({ ...task('a'), config: 'x' }), 'tasks[0].config', 'must be an object, not "x"'],
    [workflow({ ...task('a'), depends_on: 'b' }), 'tasks[0].depends_on', 'must be a list, not "b"'],
    [workflow({ ...task('a'), retrys: 1 }), 'tasks[0].retrys', 'did you mean "retry"?'],
    [workflow({ ...task('a'), color: 1 }), 'tasks[0].color', 'unknown property "color" (known: id, type,'],
    [workflow({ ...task('a'), when: {} }), 'tasks[0].when', '"when" is not supported by this version'],
    [{ ...workflow(task('a')), concurrency: 2 }, 'concurrency', 'not supported by this version'],
    [workflow({ id: 'a' }), 'tasks[0].type', 'is required'],
    [workflow({ ...task('a'), config: { at: new Date(0) } }), 'tasks[0].config.at', 'is not a JSON value'],
    [workflow({ ...task('a'), config: { n: Number.NaN } }), 'tasks[0].config.n', 'NaN is not a finite number'],
    [
      workflow({ ...task('a'), config: JSON.parse('{"__proto__":1}') as unknown }),
      'tasks[0].config.__proto__',
      'not allowed',
    ],
  ])('refuses %j at %s', (input, field, reason) => {
    const [fault] = faults(input);
    expect(fault?.field).toBe(field);
    expect(fault?.reason).toContain(reason);
  });

  it('takes 1,000 tasks in a chain and refuses 1,001', () => {
    const chain = (length: number) =>
      workflow(...Array.from({ length }, (_, i) => (i === 0 ? task('t0') : task(`t${i}`, `t${i - 1}`))));
    expect(parseWorkflow(chain(WORKFLOW_TASKS_MAX)).tasks).toHaveLength(1_000);
    expect(faults(chain(WORKFLOW_TASKS_MAX + 1))[0]).toEqual({
      field: 'tasks',
      reason: 'must have at most 1000 items, not 1001',
    });
  });

  it('refuses a document that contains itself, is too deep or too large, before anything else', () => {
    const selfish: Record<string, unknown> = { ...task('a') };
    selfish['config'] = selfish;
    expect(faults(workflow(selfish))[0]?.reason).toBe('nested deeper than 72 levels');
    const large = workflow({ ...task('a'), config: { list: Array.from({ length: 100_001 }, () => 0) } });
    expect(faults(large)[0]?.reason).toBe('more than 100000 values');
  });

  it('tells at most 20 faults, however many there are', () => {
    const unknown = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`x${i}`, 1]));
    expect(faults({ ...workflow(task('a')), ...unknown })).toHaveLength(20);
    expect(faults(workflow(task('a', ...Array.from({ length: 900 }, (_, i) => `x${i}`))))).toHaveLength(20);
  });

  it('takes every graph whose edges go backwards, and refuses it with one edge turned', () => {
    const edges = fc.array(fc.tuple(fc.nat({ max: 11 }), fc.nat({ max: 11 })), { maxLength: 40 });
    fc.assert(
      fc.property(edges, (pairs) => {
        const depends = Array.from({ length: 12 }, () => new Set<string>());
        for (const [a, b] of pairs) if (a !== b) depends[Math.max(a, b)]?.add(`t${Math.min(a, b)}`);
        const tasks = (): unknown[] => depends.map((ids, i) => task(`t${i}`, ...ids));
        expect(parseWorkflow(workflow(...tasks())).tasks).toHaveLength(12);
        const last = depends.findLastIndex((ids) => ids.size > 0);
        const first = [...(depends[last] ?? [])][0];
        if (first === undefined) return;
        depends[Number(first.slice(1))]?.add(`t${last}`);
        expect(faults(workflow(...tasks()))[0]?.reason).toContain('cycle: ');
      }),
    );
  });
});
