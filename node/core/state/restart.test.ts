import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nodeHost } from '../../io/host.ts';
import { COMMAND } from './commands.ts';
import type { TaskRef } from './instance-table.ts';
import type { StateMachine } from './machine.ts';
import { ruleOf, TestReplica, workflowOf } from './test-replica.ts';

/** What the leader schedules by; the order of ready tasks is its own affair, so sets are compared. */
function indexes({ instances, messages, catalog, workers, timeMs, appliedIndex }: StateMachine): unknown {
  const refs = (table: ReadonlyMap<string, ReadonlyMap<string, unknown>>) =>
    Object.fromEntries([...table].map(([name, queue]) => [name, [...queue.keys()].sort()]));
  return {
    ready: refs(readyTasks(instances)),
    running: refs(instances.running),
    counts: [instances.readyCount, instances.runningCount, instances.active.size, instances.due.size],
    due: instances.due.peek(),
    active: Object.fromEntries(instances.active),
    messages: [messages.count, messages.dedupCount],
    catalog: [catalog.version, Object.fromEntries(catalog.rules), Object.fromEntries(catalog.workflows)],
    workers: [
      Object.fromEntries(workers.workers),
      Object.fromEntries(workers.types),
      [...workers.bySession.keys()].sort(),
    ],
    drains: [Object.fromEntries(workers.drains), workers.nextDueMs],
    times: [timeMs, appliedIndex],
  };
}

function readyTasks({ ready }: StateMachine['instances']): Map<string, Map<string, TaskRef>> {
  return new Map([...ready].map(([key, { tasks }]) => [key, tasks]));
}

/** The indexes as they follow from the records of the running instances alone. */
function derived({ instances }: StateMachine): number[] {
  let ready = 0;
  let running = 0;
  for (const { tasks } of instances.active.values()) {
    for (const { status } of tasks) {
      if (status === 'READY') ready++;
      if (status === 'RUNNING') running++;
    }
  }
  return [ready, running, instances.active.size, instances.active.size];
}

type Step =
  | { kind: 'send'; rules: number; key: number }
  | { kind: 'assign'; pick: number; worker: number }
  | { kind: 'report'; pick: number; status: string; stale: boolean }
  | { kind: 'advance'; ms: number }
  | { kind: 'register'; worker: number; renew: boolean }
  | { kind: 'drain'; worker: number; graceMs: number }
  | { kind: 'undrain' | 'leave' | 'lose' | 'cancel' | 'putWorkflow' | 'toggleRule'; which: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('send' as const), rules: fc.nat(3), key: fc.nat(5) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('assign' as const),
      pick: fc.nat(1_000),
      worker: fc.nat(2),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('report' as const),
      pick: fc.nat(1_000),
      status: fc.constantFrom('ok', 'ok', 'retryable', 'terminal', 'lost'),
      stale: fc.nat(4).map((n) => n === 0),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('advance' as const),
      ms: fc.constantFrom(0, 500, 1_500, 20_000, 90_000_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('register' as const), worker: fc.nat(2), renew: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('drain' as const),
      worker: fc.nat(2),
      graceMs: fc.constantFrom(0, 1_000, 60_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'undrain' as const,
        'leave' as const,
        'lose' as const,
        'lose' as const,
        'cancel' as const,
        'putWorkflow' as const,
        'toggleRule' as const,
      ),
      which: fc.nat(50),
    }),
  },
);

const TASKS = [
  { id: 't0', type: 'log', retry: 2, timeout: 5 },
  { id: 't1', type: 'http', retry: 1, timeout: 1 },
  { id: 't2', type: 'log', depends_on: ['t0'] },
  { id: 't3', type: 'http', depends_on: ['t1', 't2'], retry: 1 },
];

function pick(table: ReadonlyMap<string, ReadonlyMap<string, TaskRef>>, choice: number): TaskRef {
  const refs = [...table.values()].flatMap((queue) => [...queue.values()]);
  return refs[choice % Math.max(1, refs.length)] ?? { instanceId: 'none-1', position: 0, taskId: 't0' };
}

/** Plays steps on one replica; what a step refers to is chosen among what exists. */
class Player {
  readonly replica = new TestReplica(nodeHost);
  #messages = 0;
  #sessions = 0;
  #instances: string[] = [];

  constructor() {
    this.replica.putWorkflow(workflowOf('w0', TASKS));
    this.replica.putWorkflow(workflowOf('w1', TASKS.slice(0, 2), { timeout: 30 }));
    this.replica.putRule(ruleOf('r0', ['w0']));
    this.replica.putRule(ruleOf('r1', ['w1', 'w0']));
    for (const worker of [0, 1, 2]) this.#register(worker, true);
  }

  #register(worker: number, renew: boolean): void {
    const id = `w${String(worker)}`;
    const known = this.replica.machine.workers.workers.get(id);
    const session = renew || known === undefined ? `s${String(++this.#sessions)}` : known.session;
    this.replica.register(id, session, ['log', 'http']);
  }

  play(one: Step): void {
    const { replica } = this;
    const { machine } = replica;
    const instance = (choice: number) => this.#instances[choice % Math.max(1, this.#instances.length)] ?? 'none-1';
    switch (one.kind) {
      case 'send': {
        const rules = ['r0', 'r1'].filter((id, i) => machine.catalog.rules.has(id) && (one.rules & (1 << i)) !== 0);
        const id = `m${String(++this.#messages).padStart(4, '0')}`;
        const key = one.key === 0 ? {} : { key: `s/${String(one.key)}` };
        const { result } = replica.send([
          { id, body: `{"k":${String(one.key % 4)}}`, rules: rules.map((rule) => `${rule}@1`), ...key },
        ]);
        for (const { started, duplicate } of result.items)
          if (!duplicate) this.#instances.push(...started.map((s) => s.id));
        break;
      }
      case 'assign': {
        const ref = pick(readyTasks(machine.instances), one.pick);
        const workerId = `w${String(one.worker)}`;
        const session = machine.workers.workers.get(workerId)?.session ?? 'none';
        replica.assign({ instanceId: ref.instanceId, taskId: ref.taskId, workerId, session });
        break;
      }
      case 'report': {
        const { instanceId, position, taskId } = pick(machine.instances.running, one.pick);
        const token = machine.instances.get(instanceId)?.tasks[position]?.token ?? 1;
        replica.report(instanceId, taskId, one.stale ? token - 1 : token, one.status, '{"o":1}');
        break;
      }
      case 'advance':
        replica.advance(one.ms);
        break;
      case 'register':
        this.#register(one.worker, one.renew);
        break;
      case 'drain':
        replica.drain(`w${String(one.worker)}`, one.graceMs);
        break;
      case 'undrain':
        replica.undrain(`w${String(one.which % 3)}`);
        break;
      case 'leave':
      case 'lose': {
        const id = `w${String(one.which % 3)}`;
        replica.lose(id, machine.workers.workers.get(id)?.session ?? 'none', one.kind === 'leave');
        break;
      }
      case 'cancel':
        replica.cancel(instance(one.which));
        break;
      case 'putWorkflow':
        replica.putWorkflow(workflowOf('w0', TASKS.slice(0, 1 + (one.which % 4))));
        break;
      case 'toggleRule':
        if (machine.catalog.rules.has('r1')) replica.deleteRule('r1');
        else replica.putRule(ruleOf('r1', ['w1', 'w0']));
        break;
    }
  }
}

describe('a replica that restarts anywhere', () => {
  it('has the same state, and goes on with the same hash, outcomes and events', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), fc.nat(), (steps, where) => {
        const player = new Player();
        const at = where % steps.length;
        for (const one of steps.slice(0, at)) player.play(one);
        player.replica.commit();
        const restarted = player.replica.reopened();
        expect(restarted.machine.hash).toBe(player.replica.machine.hash);
        expect(indexes(restarted.machine)).toEqual(indexes(player.replica.machine));

        const from = player.replica.history.length;
        const { machine } = player.replica;
        for (const one of steps.slice(at)) {
          player.play(one);
          expect([
            machine.instances.readyCount,
            machine.instances.runningCount,
            machine.instances.active.size,
            machine.instances.due.size,
          ]).toEqual(derived(machine));
        }
        for (const command of player.replica.history.slice(from)) restarted.applyBytes(command);
        expect(restarted.machine.hash).toBe(machine.hash);
        expect(indexes(restarted.machine)).toEqual(indexes(machine));
      }),
      { numRuns: 150 },
    );
  });

  it('gives the attempts of a lost session back in the same order', () => {
    const { replica } = new Player();
    replica.send([
      { id: 'm1', rules: ['r0@1'] },
      { id: 'm2', rules: ['r0@1'] },
    ]);
    // Not in the order of their ids, and two of one instance.
    for (const [instanceId, taskId] of [
      ['m2-1', 't1'],
      ['m1-1', 't1'],
      ['m2-1', 't0'],
      ['m1-1', 't0'],
    ] as const) {
      replica.assign({ instanceId, taskId, workerId: 'w0', session: 's1' });
    }
    replica.commit();
    const restarted = replica.reopened();
    const events = [replica, restarted].map((one) => one.lose('w0', 's1').events);
    expect(restarted.machine.hash).toBe(replica.machine.hash);
    expect(events[1]).toEqual(events[0]);
  });

  it('has the same hash whenever and however often it commits', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 10, maxLength: 60 }),
        fc.array(fc.boolean(), { minLength: 80, maxLength: 80 }),
        (steps, commits) => {
          const player = new Player();
          for (const one of steps) player.play(one);
          const other = new TestReplica(nodeHost);
          player.replica.history.forEach((command, i) => {
            other.applyBytes(command);
            if (commits[i] === true) other.commit();
          });
          expect(other.machine.hash).toBe(player.replica.machine.hash);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('apply', () => {
  it('answers malformed commands of every kind with an error and keeps nothing', () => {
    const { replica } = new Player();
    const kinds = fc.constantFrom(...Object.values(COMMAND));
    fc.assert(
      fc.property(kinds, fc.uint8Array({ maxLength: 40 }), (kind, payload) => {
        const { hash } = replica.machine;
        const { result } = replica.applyBytes({ kind, payload, timeMs: replica.timeMs });
        if (result.errorCode !== undefined) expect(replica.machine.hash).toBe(hash);
      }),
      { numRuns: 500 },
    );
  });

  it('refuses documents that are none', () => {
    const { replica } = new Player();
    const { hash } = replica.machine;
    for (const document of [
      '',
      '{',
      'null',
      '7',
      '"x"',
      '[]',
      '{}',
      '{"id":7}',
      '{"id":"x"}',
      '{"id":"x","actions":1,"tasks":{}}',
      '{"id":"x","actions":[null],"tasks":[3]}',
    ]) {
      const bytes = Buffer.from(document);
      const field = (tag: number, value: Buffer) =>
        Buffer.concat([Buffer.from([0x10, 0, tag, 0, 0, 0, value.length]), value]);
      const payload = Buffer.concat([field(1, Buffer.from('upsert')), field(2, bytes)]);
      for (const kind of [COMMAND.putRule, COMMAND.putWorkflow]) {
        expect(replica.applyBytes({ kind, payload, timeMs: replica.timeMs }).result.errorCode).toBe('INVALID_DOCUMENT');
      }
    }
    expect(replica.machine.hash).toBe(hash);
  });

  it('stops at a kind that this version does not know: going on would diverge', () => {
    const { replica } = new Player();
    expect(() => replica.applyBytes({ kind: 200, payload: Buffer.alloc(0), timeMs: replica.timeMs })).toThrow(
      'kind 200',
    );
  });

  it('takes entries in order only, and time never back', () => {
    const { replica } = new Player();
    const command = { kind: COMMAND.advanceTime, payload: Buffer.alloc(0), timeMs: replica.timeMs - 1 };
    expect(() => replica.applyBytes(command)).toThrow('never goes back');
  });
});
