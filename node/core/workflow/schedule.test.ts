import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Workflow } from '../../../api/workflow.ts';
import type { Instance, TaskStatus } from './instance.ts';
import { planOf, TASK_TIMEOUT_MS_DEFAULT, type Plan } from './plan.ts';
import {
  assignTask,
  type AttemptEnd,
  createInstance,
  endAttempt,
  endInstance,
  ERROR_CHARS_MAX,
  fireTimers,
  nextDueMs,
  type Now,
  REDISPATCHES_MAX,
  RETRY_CAP_MS,
  retryDelayMs,
} from './schedule.ts';

const START: Now = { timeMs: 1_000, wallMs: 5_000 };
const TIMEOUT_MS = 60_000;

function at(timeMs: number): Now {
  return { timeMs, wallMs: 4_000 + timeMs };
}

/** An instance of `tasks`, with what a test does to it. */
class Run {
  readonly plan: Plan;
  readonly instance: Instance;
  now = START;
  #token = 0;

  constructor(tasks: Workflow['tasks'], retryDefault = 0) {
    this.plan = planOf({ id: 'w', version: 1, tasks }, 1);
    const start = { id: 'm-1', messageId: 'm', rule: 'r', params: {}, retryDefault, timeoutMs: TIMEOUT_MS };
    this.instance = createInstance(this.plan, start, START);
  }

  get statuses(): TaskStatus[] {
    return this.instance.tasks.map(({ status }) => status);
  }

  position(id: string): number {
    return this.plan.tasks.findIndex((task) => task.id === id);
  }

  task(id: string) {
    return this.instance.tasks[this.position(id)]!;
  }

  assign(id: string): boolean {
    const attempt = { token: ++this.#token, worker: 'w1', session: 's1' };
    return assignTask(this.plan, this.instance, this.position(id), attempt, this.now);
  }

  end(id: string, end: AttemptEnd, token = this.task(id).token) {
    return endAttempt(this.plan, this.instance, this.position(id), token, end, this.now);
  }

  complete(...ids: string[]): void {
    for (const id of ids) {
      expect(this.assign(id)).toBe(true);
      expect(this.end(id, { status: 'ok' })).toBeDefined();
    }
  }

  fire(timeMs: number) {
    this.now = at(timeMs);
    return fireTimers(this.plan, this.instance, this.now);
  }
}

const RETRYABLE: AttemptEnd = { status: 'retryable', error: 'try again' };
const LOST: AttemptEnd = { status: 'lost', error: 'gone' };

describe('dependencies', () => {
  const diamond = [
    { id: 'top', type: 'x' },
    { id: 'left', type: 'x', depends_on: ['top'] },
    { id: 'right', type: 'x', depends_on: ['top'] },
    { id: 'bottom', type: 'x', depends_on: ['left', 'right'] },
  ];

  it('of a diamond open both sides at once, and the bottom only after both', () => {
    const run = new Run(diamond);
    expect(run.statuses).toEqual(['READY', 'PENDING', 'PENDING', 'PENDING']);
    run.complete('top');
    expect(run.statuses).toEqual(['COMPLETED', 'READY', 'READY', 'PENDING']);
    run.complete('right');
    expect(run.statuses).toEqual(['COMPLETED', 'READY', 'COMPLETED', 'PENDING']);
    run.complete('left');
    expect(run.task('bottom').status).toBe('READY');
    run.complete('bottom');
    expect(run.instance).toMatchObject({ status: 'COMPLETED', endedAt: START.wallMs, error: null });
  });

  it('none: all tasks run side by side', () => {
    const run = new Run([
      { id: 'a', type: 'x' },
      { id: 'b', type: 'x' },
      { id: 'c', type: 'x' },
    ]);
    expect(run.statuses).toEqual(['READY', 'READY', 'READY']);
    for (const id of ['a', 'b', 'c']) expect(run.assign(id)).toBe(true);
    expect(run.statuses).toEqual(['RUNNING', 'RUNNING', 'RUNNING']);
  });

  it('named twice count once', () => {
    const plan = planOf(
      {
        id: 'w',
        version: 1,
        tasks: [
          { id: 'a', type: 'x' },
          { id: 'b', type: 'x', depends_on: ['a', 'a'] },
        ],
      },
      1,
    );
    expect(plan.tasks[1]).toMatchObject({ dependsOn: [0], configJson: '{}', timeoutMs: TASK_TIMEOUT_MS_DEFAULT });
    expect(plan.tasks[0]!.dependents).toEqual([1]);
  });

  it('that do not exist are our bug: validation comes first', () => {
    expect(() => planOf({ id: 'w', version: 1, tasks: [{ id: 'a', type: 'x', depends_on: ['b'] }] }, 1)).toThrow(
      'its workflow',
    );
  });
});

describe('an attempt', () => {
  it('is assigned to a ready task only, with a rising token', () => {
    const run = new Run([
      { id: 'a', type: 'x' },
      { id: 'b', type: 'x', depends_on: ['a'] },
    ]);
    expect(run.assign('b')).toBe(false);
    expect(run.assign('a')).toBe(true);
    expect(run.assign('a')).toBe(false);
    expect(run.task('a')).toMatchObject({ attempts: 1, session: 's1', dueMs: START.timeMs + TASK_TIMEOUT_MS_DEFAULT });
    run.end('a', LOST);
    const stale = { token: run.task('a').token, worker: 'w', session: 's' };
    expect(() => assignTask(run.plan, run.instance, 0, stale, START)).toThrow('tokens rise');
  });

  it.each<[AttemptEnd, number, TaskStatus, string]>([
    [{ status: 'ok' }, 0, 'COMPLETED', 'COMPLETED'],
    [RETRYABLE, 0, 'FAILED', 'FAILED'],
    [RETRYABLE, 1, 'RETRYING', 'RUNNING'],
    [{ status: 'terminal', error: 'no' }, 5, 'FAILED', 'FAILED'],
    [{ status: 'timeout' }, 0, 'TIMED_OUT', 'FAILED'],
    [{ status: 'timeout' }, 1, 'RETRYING', 'RUNNING'],
    [LOST, 0, 'READY', 'RUNNING'],
  ])('that ends %j with %i retries leaves the task %s and the instance %s', (end, retry, taskStatus, status) => {
    const run = new Run([{ id: 'a', type: 'x', retry }]);
    run.assign('a');
    expect(run.end('a', end)).toBeDefined();
    expect(run.task('a')).toMatchObject({ status: taskStatus, session: null });
    expect(run.instance.status).toBe(status);
  });

  it("takes the rule's retries where the task names none", () => {
    for (const [retry, retryDefault, retries] of [
      [undefined, 2, 2],
      [0, 2, 0],
      [1, 0, 1],
      [undefined, 0, 0],
    ] as const) {
      const run = new Run([{ id: 'a', type: 'x', ...(retry === undefined ? {} : { retry }) }], retryDefault);
      let failures = 0;
      while (run.instance.status === 'RUNNING') {
        run.assign('a');
        run.end('a', RETRYABLE);
        failures++;
        if (run.task('a').status === 'RETRYING') run.fire(run.task('a').dueMs);
      }
      expect(failures).toBe(retries + 1);
    }
  });

  it('has a bounded error text', () => {
    const run = new Run([{ id: 'a', type: 'x' }]);
    run.assign('a');
    run.end('a', { status: 'terminal', error: 'e'.repeat(ERROR_CHARS_MAX * 2) });
    expect(run.task('a').error).toHaveLength(ERROR_CHARS_MAX);
    expect(run.instance.error).toHaveLength(ERROR_CHARS_MAX);
  });

  it('lost with its worker uses up no retry, but not for ever', () => {
    const run = new Run([{ id: 'a', type: 'x' }]);
    for (let i = 1; i <= REDISPATCHES_MAX; i++) {
      run.assign('a');
      expect(run.end('a', LOST)!.ready).toEqual([0]);
      expect(run.task('a')).toMatchObject({ redispatches: i, failures: 0 });
    }
    run.assign('a');
    expect(run.end('a', LOST)).toMatchObject({ ready: [], ended: [0] });
    expect(run.instance.status).toBe('FAILED');
  });

  it('that fails for good stops its siblings and calls the running ones back', () => {
    const run = new Run([
      { id: 'bad', type: 'x' },
      { id: 'running', type: 'x' },
      { id: 'ready', type: 'x' },
      { id: 'later', type: 'x', depends_on: ['ready'] },
    ]);
    run.assign('bad');
    run.assign('running');
    expect(run.end('bad', { status: 'terminal', error: 'no' })).toEqual({
      ready: [],
      retried: [],
      cancelled: [{ position: 1, token: 2, session: 's1' }],
      ended: [0, 1, 2, 3],
    });
    expect(run.statuses).toEqual(['FAILED', 'CANCELLED', 'CANCELLED', 'CANCELLED']);
    expect(run.instance).toMatchObject({ status: 'FAILED', error: 'task failed: no' });
    expect(run.end('running', { status: 'ok' }, 2)).toBeUndefined();
  });
});

describe('time', () => {
  it('between retries doubles from a second to five minutes, ±10 %, the same on every replica', () => {
    for (let failures = 1; failures <= 200; failures++) {
      const middle = Math.min(1_000 * 2 ** (failures - 1), RETRY_CAP_MS);
      const delay = retryDelayMs('m-1/a', failures);
      expect(delay).toBeGreaterThanOrEqual(middle * 0.9);
      expect(delay).toBeLessThanOrEqual(middle * 1.1);
      expect(retryDelayMs('m-1/a', failures)).toBe(delay);
    }
    // Tasks that fail together do not come back together.
    const delays = new Set(Array.from({ length: 50 }, (_, i) => retryDelayMs(`m-${String(i)}/a`, 1)));
    expect(delays.size).toBeGreaterThan(20);
  });

  it("over an attempt's limit retries it, or fails it, and calls it back", () => {
    const run = new Run([{ id: 'a', type: 'x', timeout: 5, retry: 1 }]);
    run.assign('a');
    expect(nextDueMs(run.instance)).toBe(6_000);
    expect(run.fire(5_999)).toEqual({ ready: [], cancelled: [], ended: [], retried: [] });
    expect(run.fire(6_000)).toEqual({
      ready: [],
      cancelled: [{ position: 0, token: 1, session: 's1' }],
      ended: [],
      retried: [0],
    });
    const { dueMs } = run.task('a');
    expect(nextDueMs(run.instance)).toBe(dueMs);
    expect(run.fire(dueMs - 1).ready).toEqual([]);
    expect(run.fire(dueMs).ready).toEqual([0]);
    run.assign('a');
    expect(run.fire(run.task('a').dueMs)).toMatchObject({ ended: [0], retried: [] });
    expect(run.task('a').status).toBe('TIMED_OUT');
    expect(run.instance).toMatchObject({ status: 'FAILED', error: 'task failed: the attempt ran over its time-out' });
  });

  it('at the deadline ends everything', () => {
    const run = new Run([
      { id: 'a', type: 'x' },
      { id: 'b', type: 'x', depends_on: ['a'] },
    ]);
    run.assign('a');
    expect(run.fire(START.timeMs + TIMEOUT_MS)).toEqual({
      ready: [],
      retried: [],
      cancelled: [{ position: 0, token: 1, session: 's1' }],
      ended: [0, 1],
    });
    expect(run.statuses).toEqual(['CANCELLED', 'CANCELLED']);
    expect(run.instance).toMatchObject({ status: 'TIMED_OUT', error: 'the instance reached its deadline' });
    expect(() => endInstance(run.instance, 'CANCELLED', 'again', START)).toThrow('only a running instance');
  });
});

describe('any DAG, whatever happens to its attempts,', () => {
  const kinds = fc.constantFrom<AttemptEnd['status'][]>(
    'ok',
    'ok',
    'ok',
    'retryable',
    'lost',
    'timeout',
    'terminal',
    'ok',
  );
  const tasks = fc.integer({ min: 1, max: 12 }).chain((count) =>
    fc.array(fc.record({ dependsOn: fc.array(fc.nat(11)), retry: fc.nat(2) }), {
      minLength: count,
      maxLength: count,
    }),
  );

  it('ends, never runs a task early or twice, and leaves nothing open', () => {
    fc.assert(
      fc.property(
        tasks,
        fc.array(kinds, { minLength: 80, maxLength: 80 }),
        fc.infiniteStream(fc.nat()),
        (shape, ends, picks) => {
          const run = new Run(
            shape.map(({ dependsOn, retry }, i) => ({
              id: `t${String(i)}`,
              type: 'x',
              retry,
              timeout: 1,
              depends_on: dependsOn.filter((d) => d < i).map((d) => `t${String(d)}`),
            })),
          );
          const final = new Map<number, string>();
          let steps = 0;
          while (run.instance.status === 'RUNNING') {
            expect(++steps).toBeLessThan(2_000);
            // The plain meaning of ready: not begun, not waiting for a retry, and every dependency is completed.
            run.plan.tasks.forEach(({ dependsOn }, position) => {
              const done = dependsOn.every((d) => run.statuses[d] === 'COMPLETED');
              if (run.statuses[position] === 'PENDING') expect(done).toBe(false);
              else expect(done).toBe(true);
            });
            run.instance.tasks.forEach((task, position) => {
              if (!['COMPLETED', 'FAILED', 'TIMED_OUT', 'CANCELLED'].includes(task.status)) return;
              final.set(position, final.get(position) ?? JSON.stringify(task));
            });
            for (const [position, text] of final) expect(JSON.stringify(run.instance.tasks[position])).toBe(text);

            const open = run.plan.tasks.filter(
              (_, position) => run.statuses[position] === 'READY' || run.statuses[position] === 'RUNNING',
            );
            const chosen = open[picks.next().value! % Math.max(1, open.length)];
            if (chosen === undefined) {
              run.fire(nextDueMs(run.instance));
            } else if (run.task(chosen.id).status === 'READY') {
              run.assign(chosen.id);
            } else {
              const status = ends[steps % ends.length]!;
              expect(run.end(chosen.id, { status: 'ok' }, run.task(chosen.id).token - 1)).toBeUndefined();
              if (status === 'timeout') run.fire(Math.min(run.task(chosen.id).dueMs, run.instance.deadlineMs));
              else run.end(chosen.id, status === 'ok' ? { status } : { status, error: 'because' });
            }
          }
          expect(run.statuses.filter((status) => ['PENDING', 'READY', 'RUNNING', 'RETRYING'].includes(status))).toEqual(
            [],
          );
          expect(run.instance.status === 'COMPLETED').toBe(run.statuses.every((status) => status === 'COMPLETED'));
          expect(run.instance.tasks.every(({ dueMs, session }) => dueMs === 0 && session === null)).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});
