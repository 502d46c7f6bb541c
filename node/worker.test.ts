import { describe, expect, it } from '@jest/globals';
import type { Body, Message } from './core/tlv/messages.ts';
import type { WorkerMetrics } from './metrics.ts';
import { WorkerNode } from './worker.ts';

const SESSION = 'session-1';
const METRICS: WorkerMetrics = {
  taskStarted: () => undefined,
  taskFinished: () => undefined,
  slots: () => undefined,
  connected: () => undefined,
};

/** A worker whose sent messages and started attempts are kept, with leader `c1` connected. */
class Bench {
  readonly sent: Message[] = [];
  readonly started: Body<'TASK_ASSIGN'>[] = [];
  readonly worker: WorkerNode;
  #nowMs = 0;

  constructor() {
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
    this.worker = new WorkerNode(
      { workerId: 'w1', session: SESSION, capacity: 2, address: 'w1:1', types: [{ name: 'log', version: '1' }] },
      {
        send: (_, message) => this.sent.push(message) > 0,
        run: (assignment) => this.started.push(assignment),
        cancel: () => undefined,
        log,
      },
      METRICS,
    );
    this.input({ kind: 'peerUp', peer: 'c1' });
  }

  input(input: Parameters<WorkerNode['step']>[0]): void {
    this.worker.step(input, this.#now());
    this.worker.turn(this.#now());
  }

  receive(message: Message): void {
    this.input({ kind: 'message', from: 'c1', message });
  }

  welcome(registered: boolean): void {
    const leaderId = registered ? '' : 'c1';
    this.receive({ kind: 'WORKER_WELCOME', body: { session: registered ? SESSION : '', registered, leaderId } });
  }

  assign(taskId: string, token: number): void {
    const task = { instanceId: 'i1', taskId, token, attempt: 1, type: 'log' };
    this.receive({ kind: 'TASK_ASSIGN', body: { ...task } as Body<'TASK_ASSIGN'> });
  }

  wait(ms: number): void {
    this.#nowMs += ms;
    this.input({ kind: 'tick' });
  }

  kinds(): string[] {
    return this.sent.splice(0).map(({ kind }) => kind);
  }

  #now() {
    return { monotonicMs: this.#nowMs, wallMs: this.#nowMs };
  }
}

function registered(): Bench {
  const bench = new Bench();
  bench.welcome(false);
  bench.welcome(true);
  expect(bench.kinds()).toEqual(['WORKER_HELLO']);
  return bench;
}

describe('WorkerNode', () => {
  it('registers with the leader it is told of, and again when that does not answer', () => {
    const bench = new Bench();
    bench.wait(10_000);
    expect(bench.kinds()).toEqual([]);
    bench.welcome(false);
    bench.wait(500);
    expect(bench.kinds()).toEqual(['WORKER_HELLO']);
    bench.wait(500);
    expect(bench.kinds()).toEqual(['WORKER_HELLO']);
    bench.welcome(true);
    expect(bench.worker.registeredWith).toBe('c1');
    bench.wait(5_000);
    expect(bench.kinds()).toEqual([]);
  });

  it('starts an attempt once, and reports its result until that is acknowledged', () => {
    const bench = registered();
    bench.assign('a', 7);
    bench.assign('a', 7);
    bench.assign('a', 6);
    expect(bench.started.map(({ token }) => token)).toEqual([7]);
    const result = { instanceId: 'i1', taskId: 'a', token: 7, status: 'ok' };
    bench.input({ kind: 'finished', result });
    bench.wait(3_000);
    expect(bench.kinds()).toEqual(['TASK_RESULT', 'TASK_RESULT']);
    bench.receive({
      kind: 'TASK_STATUS',
      body: { acks: [{ instanceId: 'i1', taskId: 'a', token: 7, accepted: true }] },
    });
    bench.wait(3_000);
    expect(bench.kinds()).toEqual([]);
  });

  it('finishes and reports what runs before it leaves', () => {
    const bench = registered();
    bench.assign('a', 7);
    bench.input({ kind: 'drain' });
    expect(bench.kinds()).toEqual(['WORKER_DRAIN']);
    expect(bench.worker.left).toBe(false);
    bench.input({ kind: 'finished', result: { instanceId: 'i1', taskId: 'a', token: 7, status: 'ok' } });
    expect(bench.worker.left).toBe(false);
    bench.receive({
      kind: 'TASK_STATUS',
      body: { acks: [{ instanceId: 'i1', taskId: 'a', token: 7, accepted: true }] },
    });
    expect(bench.kinds()).toEqual(['TASK_RESULT', 'WORKER_DRAIN']);
    expect(bench.worker.left).toBe(true);
  });

  it('neither registers again nor starts anything once it has said that it leaves', () => {
    const bench = registered();
    bench.input({ kind: 'drain' });
    expect(bench.kinds()).toEqual(['WORKER_DRAIN', 'WORKER_DRAIN']);
    bench.welcome(false);
    bench.assign('late', 9);
    bench.wait(5_000);
    expect(bench.kinds()).toEqual([]);
    expect(bench.started).toEqual([]);
    expect(bench.worker.left).toBe(true);
  });
});
