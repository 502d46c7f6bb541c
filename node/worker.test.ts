import { beforeEach, describe, expect, it } from '@jest/globals';
import { type Body, encodeMessage, type Message } from './core/tlv/messages.ts';
import { nodeHost } from './io/host.ts';
import { CountingMetrics, silentLog } from './test-cluster.ts';
import { HELLO_REDIRECT_MS, HELLO_RETRY_MS, REPORT_BYTES_MAX, REPORT_RETRY_MS, WorkerNode } from './worker.ts';

interface Sent {
  to: string;
  message: Message;
}

let nowMs: number;
let sent: Sent[];
let ran: number[];
let cancelled: number[];
let usage: { cpu: number; memory: number } | undefined;
let metrics: CountingMetrics;
let worker: WorkerNode;

beforeEach(() => {
  nowMs = 1_000;
  sent = [];
  ran = [];
  cancelled = [];
  usage = undefined;
  metrics = new CountingMetrics();
  worker = new WorkerNode(
    { workerId: 'w', session: 's', capacity: 2, address: 'here', types: [{ name: 'log', version: '1' }] },
    {
      send: (to, message) => sent.push({ to, message }) > 0,
      run: ({ token }) => ran.push(token),
      cancel: ({ token }) => cancelled.push(token),
      usage: () => usage,
      log: silentLog,
    },
    metrics.worker,
  );
});

/** What was sent since the last call. */
function turn(): Sent[] {
  worker.turn({ monotonicMs: nowMs, wallMs: 0 });
  return sent.splice(0);
}

function step(input: Parameters<WorkerNode['step']>[0]): void {
  worker.step(input, { monotonicMs: nowMs, wallMs: 0 });
}

function receive(from: string, message: Message): void {
  step({ kind: 'message', from, message });
}

function welcome(from: string, leaderId: string, registered = false, session = 's'): void {
  receive(from, { kind: 'WORKER_WELCOME', body: { session: registered ? session : '', registered, leaderId } });
}

function assign(token: number, taskId = 't', instanceId = 'i'): void {
  const rest = { attempt: 1, type: 'log', timeoutMs: 1_000, context: Buffer.from('{}') };
  receive('a', { kind: 'TASK_ASSIGN', body: { instanceId, taskId, token, ...rest } });
}

function finish(token: number, taskId = 't', instanceId = 'i'): void {
  step({ kind: 'finished', result: { instanceId, taskId, token, status: 'ok' } });
}

function acknowledge(from: string, token: number, accepted = true): void {
  receive(from, { kind: 'TASK_STATUS', body: { acks: [{ instanceId: 'i', taskId: 't', token, accepted }] } });
}

function reports(all: readonly Sent[]): number[] {
  return all.flatMap(({ message }) =>
    message.kind === 'TASK_RESULT' ? message.body.results.map(({ token }) => token) : [],
  );
}

function hellos(all: readonly Sent[]): Body<'WORKER_HELLO'>[] {
  return all.flatMap(({ message }) => (message.kind === 'WORKER_HELLO' ? [message.body] : []));
}

/** Connected to a and b, registered with a. */
function registered(): void {
  for (const peer of ['a', 'b']) step({ kind: 'peerUp', peer });
  welcome('a', 'a');
  turn();
  welcome('a', '', true);
  expect(worker.registeredWith).toBe('a');
}

describe('registration', () => {
  it('goes to the leader that any coordinator names', () => {
    for (const peer of ['a', 'b']) step({ kind: 'peerUp', peer });
    expect(turn()).toEqual([]);
    welcome('b', 'a');
    expect(turn()).toMatchObject([
      { to: 'a', message: { kind: 'WORKER_HELLO', body: { workerId: 'w', session: 's', capacity: 2, attempts: [] } } },
    ]);
    expect(worker.registeredWith).toBeUndefined();
    welcome('a', '', true);
    expect(worker.registeredWith).toBe('a');
    expect(turn()).toEqual([]);
  });

  it('waits for the connection to the leader', () => {
    step({ kind: 'peerUp', peer: 'b' });
    welcome('b', 'a');
    expect(turn()).toEqual([]);
    step({ kind: 'peerUp', peer: 'a' });
    expect(hellos(turn())).toHaveLength(1);
  });

  it('asks everybody in turn when the one it was sent to by a coordinator of the past is gone', () => {
    registered();
    step({ kind: 'peerUp', peer: 'c' });
    // a was removed, and still takes c for the leader; that is b now.
    welcome('a', 'c');
    nowMs += HELLO_RETRY_MS;
    expect(turn()).toMatchObject([{ to: 'c' }]);
    step({ kind: 'peerDown', peer: 'c' });
    for (let i = 0; i < 8; i++) {
      for (const { to, message } of turn()) {
        if (message.kind !== 'WORKER_HELLO') continue;
        if (to === 'a') welcome('a', 'c');
        else welcome('b', '', true);
      }
      nowMs += HELLO_RETRY_MS;
    }
    expect(worker.registeredWith).toBe('b');
  });

  it('is tried again now and then while nobody answers', () => {
    step({ kind: 'peerUp', peer: 'a' });
    welcome('a', 'a');
    expect(hellos(turn())).toHaveLength(1);
    nowMs += HELLO_RETRY_MS - 1;
    expect(turn()).toEqual([]);
    nowMs += 1;
    expect(hellos(turn())).toHaveLength(1);
  });

  it('answered with "not yet" is no loop at the speed of the network', () => {
    for (const peer of ['a', 'b']) step({ kind: 'peerUp', peer });
    welcome('a', 'a');
    let count = hellos(turn()).length;
    for (let ms = 0; ms < 1_000; ms++) {
      nowMs++;
      // Neither a leader that may not serve yet, nor two that name each other.
      welcome(ms % 2 === 0 ? 'a' : 'b', ms % 2 === 0 ? 'b' : 'a');
      count += hellos(turn()).length;
    }
    expect(count).toBeLessThanOrEqual(1_000 / HELLO_REDIRECT_MS + 2);
    expect(count).toBeGreaterThan(5);
  });

  it('is not hurried by one that knows no leader', () => {
    step({ kind: 'peerUp', peer: 'a' });
    welcome('a', 'a');
    let count = hellos(turn()).length;
    for (let ms = 0; ms < HELLO_RETRY_MS - 1; ms++) {
      nowMs++;
      welcome('a', '');
      count += hellos(turn()).length;
    }
    expect(count).toBe(1);
  });

  it('asks another one next when the one it asked knows no leader: it may have been removed', () => {
    for (const peer of ['a', 'b']) step({ kind: 'peerUp', peer });
    welcome('a', 'a');
    expect(turn()).toMatchObject([{ to: 'a' }]);
    welcome('a', '');
    nowMs += HELLO_RETRY_MS;
    expect(turn()).toMatchObject([{ to: 'b' }]);
  });

  it('moves at once to a new leader, and tells it what is held', () => {
    registered();
    assign(7);
    nowMs += 500;
    welcome('b', 'b');
    const all = turn();
    expect(all).toMatchObject([{ to: 'b' }]);
    expect(hellos(all)[0]!.attempts).toEqual([{ instanceId: 'i', taskId: 't', token: 7 }]);
  });

  it('does not move for one that only repeats who leads, knows no leader, or speaks of another session', () => {
    registered();
    welcome('b', 'a');
    welcome('b', '');
    welcome('b', '', true, 'another session');
    expect(worker.registeredWith).toBe('a');
    expect(turn()).toEqual([]);
  });

  it('goes to the leader that gossip names where no coordinator has named one', () => {
    for (const peer of ['a', 'b', 'c']) step({ kind: 'peerUp', peer });
    step({ kind: 'leaderNamed', leader: 'c' });
    expect(turn().map(({ to }) => to)).toEqual(['c']);
    step({ kind: 'leaderNamed', leader: 'b' });
    nowMs += HELLO_REDIRECT_MS;
    expect(turn().map(({ to }) => to)).toEqual(['b']);
  });

  it('goes to the leader that gossip named meanwhile when the one it is registered with is lost', () => {
    for (const peer of ['a', 'b', 'c']) step({ kind: 'peerUp', peer });
    step({ kind: 'leaderNamed', leader: 'a' });
    turn();
    welcome('a', 'a', true);
    step({ kind: 'leaderNamed', leader: 'c' });
    nowMs += HELLO_RETRY_MS;
    expect(turn()).toEqual([]);
    step({ kind: 'peerDown', peer: 'a' });
    expect(turn().map(({ to }) => to)).toEqual(['c']);
  });

  it('begins again when the leader does not know the worker any more, or its connection goes', () => {
    registered();
    nowMs += HELLO_RETRY_MS;
    welcome('a', '');
    expect(worker.registeredWith).toBeUndefined();
    expect(hellos(turn())).toHaveLength(1);
    welcome('a', '', true);
    step({ kind: 'peerDown', peer: 'b' });
    expect(worker.registeredWith).toBe('a');
    step({ kind: 'peerDown', peer: 'a' });
    expect(worker.registeredWith).toBeUndefined();
    expect(turn()).toEqual([]);
  });
});

describe('an attempt', () => {
  beforeEach(registered);

  it('is started once, however often it is pushed', () => {
    for (let i = 0; i < 3; i++) assign(7);
    expect(ran).toEqual([7]);
    finish(7);
    assign(7);
    expect(ran).toEqual([7]);
    expect(worker.running).toBe(0);
  });

  it('gives way to a newer one of the same task, and an older one is not started', () => {
    assign(7);
    assign(9);
    expect([ran, cancelled]).toEqual([[7, 9], [7]]);
    assign(8);
    expect(ran).toEqual([7, 9]);
    // The end of the one that was replaced is nobody's business.
    finish(7);
    expect(reports(turn())).toEqual([]);
    assign(8, 'other');
    assign(8, 't', 'other');
    expect(ran).toEqual([7, 9, 8, 8]);
  });

  it('that has finished is replaced without being cancelled', () => {
    assign(7);
    finish(7);
    assign(9);
    expect([ran, cancelled]).toEqual([[7, 9], []]);
  });

  it('that is cancelled is stopped and never reported', () => {
    assign(7);
    receive('a', {
      kind: 'TASK_CANCEL',
      body: {
        attempts: [
          { instanceId: 'i', taskId: 't', token: 7 },
          { instanceId: 'x', taskId: 't', token: 1 },
        ],
      },
    });
    expect(cancelled).toEqual([7]);
    finish(7);
    expect(reports(turn())).toEqual([]);
    expect(worker.running).toBe(0);
  });

  it('is reported until the leader has acknowledged it', () => {
    assign(7);
    finish(7);
    expect(reports(turn())).toEqual([7]);
    expect(reports(turn())).toEqual([]);
    nowMs += REPORT_RETRY_MS;
    expect(reports(turn())).toEqual([7]);
    acknowledge('a', 7);
    nowMs += REPORT_RETRY_MS;
    expect(reports(turn())).toEqual([]);
    expect(metrics.of('finished ok')).toBe(1);
  });

  it('that finished under one leader is reported to the next at once', () => {
    assign(7);
    finish(7);
    turn();
    nowMs += 100;
    welcome('b', 'b');
    expect(hellos(turn())[0]!.attempts).toHaveLength(1);
    welcome('b', '', true);
    const all = turn();
    expect(all).toMatchObject([{ to: 'b', message: { kind: 'TASK_RESULT', body: { session: 's' } } }]);
    expect(reports(all)).toEqual([7]);
  });

  it('that finished without a leader is kept for one', () => {
    assign(7);
    step({ kind: 'peerDown', peer: 'a' });
    finish(7);
    expect(turn()).toEqual([]);
    step({ kind: 'peerUp', peer: 'a' });
    welcome('a', 'a');
    nowMs += HELLO_RETRY_MS;
    turn();
    welcome('a', '', true);
    expect(reports(turn())).toEqual([7]);
  });

  it('that is acknowledged as stale is forgotten too; one that runs is not', () => {
    assign(7);
    acknowledge('a', 7, false);
    expect(worker.running).toBe(1);
    finish(7);
    turn();
    acknowledge('a', 7, false);
    nowMs += REPORT_RETRY_MS;
    expect(reports(turn())).toEqual([]);
  });

  it('too many is refused: what is held is bounded', () => {
    for (let token = 1; token <= 1_000; token++) assign(token, `t${String(token)}`);
    expect(ran).toHaveLength(128);
    expect(worker.running).toBe(128);
  });
});

describe('a report', () => {
  it('is cut to what a frame takes, and nothing of it is left out', () => {
    registered();
    const output = Buffer.alloc(200 * 1024, ' ');
    for (let token = 1; token <= 24; token++) {
      assign(token, `t${String(token)}`);
      step({ kind: 'finished', result: { instanceId: 'i', taskId: `t${String(token)}`, token, status: 'ok', output } });
    }
    const all = turn();
    expect(reports(all)).toEqual(Array.from({ length: 24 }, (_, n) => n + 1));
    const sizes = all.map(({ message }) => encodeMessage(nodeHost, message).payload.length);
    expect(Math.max(...sizes)).toBeLessThan(1.1 * REPORT_BYTES_MAX);
  });
});

describe('draining', () => {
  function drains(all: readonly Sent[]): boolean[] {
    return all.flatMap(({ message }) => (message.kind === 'WORKER_DRAIN' ? [message.body.leaving] : []));
  }

  it('says so, finishes what runs, then leaves', () => {
    registered();
    assign(7);
    step({ kind: 'drain' });
    expect(drains(turn())).toEqual([false]);
    expect(worker.left).toBe(false);
    finish(7);
    expect(reports(turn())).toEqual([7]);
    expect(worker.left).toBe(false);
    acknowledge('a', 7);
    expect(drains(turn())).toEqual([true]);
    expect(worker.left).toBe(true);
    expect(turn()).toEqual([]);
  });

  it('is said to the next leader as well', () => {
    registered();
    assign(7);
    step({ kind: 'drain' });
    turn();
    nowMs += HELLO_RETRY_MS;
    welcome('b', 'b');
    expect(hellos(turn())[0]!.draining).toBe(true);
    welcome('b', '', true);
    step({ kind: 'peerDown', peer: 'b' });
    step({ kind: 'peerUp', peer: 'b' });
    welcome('b', 'b');
    nowMs += HELLO_RETRY_MS;
    turn();
    welcome('b', '', true);
    expect(drains(turn())).toEqual([false]);
  });

  it('gives back at its limit what still runs, and keeps what is only not acknowledged yet', () => {
    registered();
    assign(7);
    assign(8, 'u');
    step({ kind: 'drain' });
    finish(8, 'u');
    turn();
    step({ kind: 'handBack' });
    expect(cancelled).toEqual([7]);
    expect(drains(turn())).toEqual([]);
    receive('a', {
      kind: 'TASK_STATUS',
      body: { acks: [{ instanceId: 'i', taskId: 'u', token: 8, accepted: true }] },
    });
    expect(drains(turn())).toEqual([true]);
    expect(worker.left).toBe(true);
  });

  it('of a worker that is registered nowhere and holds nothing is over at once', () => {
    expect(worker.left).toBe(false);
    step({ kind: 'drain' });
    expect(worker.left).toBe(true);
  });
});

it('tells the leader how busy the machine is, every few seconds', () => {
  const told = (): Body<'WORKER_USAGE'>[] =>
    turn().flatMap(({ message }) => (message.kind === 'WORKER_USAGE' ? [message.body] : []));
  usage = { cpu: 0.5, memory: 1.2 };
  expect(told()).toEqual([]);
  registered();
  expect(told()).toEqual([{ session: 's', cpuParts: 500, memoryParts: 1_000 }]);
  nowMs += 4_900;
  expect(told()).toEqual([]);
  nowMs += 100;
  expect(told()).toHaveLength(1);
});

it('takes no message that is not for a worker', () => {
  receive('a', { kind: 'READ_INDEX', body: { requestId: 1 } });
  step({ kind: 'tick' });
  expect(turn()).toEqual([]);
});
