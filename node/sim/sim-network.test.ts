import { beforeEach, describe, expect, it } from '@jest/globals';
import { Random } from '../../base/random.ts';
import type { Message } from '../core/tlv/messages.ts';
import { Counters } from './counters.ts';
import { EventQueue } from './event-queue.ts';
import { CALM_NETWORK } from './plan.ts';
import { SimNetwork, type Endpoint } from './sim-network.ts';
import { SimProcess } from './sim-process.ts';
import { Trace } from './trace.ts';

const DELAYS = { delayUsMin: 100, delayUsMax: 5_000 };

class Recorder implements Endpoint {
  readonly role = 'coordinator';
  readonly id: string;
  readonly process: SimProcess;
  readonly seen: string[] = [];

  constructor(id: string, queue: EventQueue) {
    this.id = id;
    this.process = new SimProcess(queue);
    this.process.start();
  }

  onMessage(from: string, message: Message): void {
    this.seen.push(message.kind === 'READ_INDEX' ? `${from} ${message.body.requestId}` : message.kind);
  }

  onPeerUp(peer: string): void {
    this.seen.push(`up ${peer}`);
  }

  onPeerDown(peer: string): void {
    this.seen.push(`down ${peer}`);
  }
}

function ask(requestId: number): Message {
  return { kind: 'READ_INDEX', body: { requestId } };
}

describe('SimNetwork', () => {
  let queue: EventQueue;
  let network: SimNetwork;
  let a: Recorder;
  let b: Recorder;

  function run(seconds: number): void {
    const untilUs = queue.nowUs + seconds * 1e6;
    while (queue.runNext(untilUs));
  }

  function connect(plan = {}): void {
    queue = new EventQueue();
    network = new SimNetwork(queue, new Random(7), new Trace(queue), new Counters(), {
      ...DELAYS,
      ...CALM_NETWORK,
      ...plan,
    });
    a = new Recorder('a', queue);
    b = new Recorder('b', queue);
    network.add(a);
    network.add(b);
    network.started('a');
    network.started('b');
    run(1);
  }

  beforeEach(() => connect());

  it('brings both ends up before anything else', () => {
    expect(a.seen).toEqual(['up b']);
    expect(b.seen).toEqual(['up a']);
  });

  it('keeps the order of a lane', () => {
    for (let i = 1; i <= 20; i++) expect(network.send('a', 'b', ask(i))).toBe(true);
    run(1);
    expect(b.seen.slice(1)).toEqual(Array.from({ length: 20 }, (_, i) => `a ${i + 1}`));
  });

  it('loses what is in flight when a connection breaks, and tells both ends', () => {
    network.send('a', 'b', ask(1));
    network.reset('a', 'b');
    run(0.3);
    expect(network.send('a', 'b', ask(2))).toBe(false);
    run(5);
    expect(b.seen).toEqual(['up a', 'down a', 'up a']);
    expect(a.seen).toEqual(['up b', 'down b', 'up b']);
  });

  it('holds frames of a blocked direction until it is free again', () => {
    network.block('a', 'b');
    network.send('a', 'b', ask(1));
    network.send('b', 'a', ask(2));
    run(2);
    expect(b.seen).toEqual(['up a']);
    expect(a.seen).toEqual(['up b', 'b 2']);
    network.unblock('a', 'b');
    run(1);
    expect(b.seen).toEqual(['up a', 'a 1']);
  });

  it('gives a connection up that stays silent', () => {
    network.block('a', 'b');
    run(8);
    expect(a.seen).toEqual(['up b', 'down b']);
    expect(b.seen).toEqual(['up a', 'down a']);
    network.unblockAll();
    run(3);
    expect(a.seen.at(-1)).toBe('up b');
  });

  it('delivers nothing to a crashed process, and nothing of its former life to the next', () => {
    network.send('a', 'b', ask(1));
    b.process.stop();
    network.stopped('b');
    b.process.start();
    network.started('b');
    run(3);
    expect(b.seen).toEqual(['up a', 'up a']);
    expect(a.seen).toEqual(['up b', 'down b', 'up b']);
  });

  it('lets a paused process catch up in order', () => {
    b.process.pause(1e6);
    network.send('a', 'b', ask(1));
    network.send('a', 'b', ask(2));
    run(0.5);
    expect(b.seen).toEqual(['up a']);
    run(1);
    expect(b.seen).toEqual(['up a', 'a 1', 'a 2']);
  });

  it('loses, doubles and reorders only frames of the Raft core', () => {
    connect({ loss: 1 });
    network.send('a', 'b', { kind: 'PRE_VOTE_RESPONSE', body: { term: 1, granted: true } });
    network.send('a', 'b', ask(1));
    run(1);
    expect(b.seen).toEqual(['up a', 'a 1']);
    connect({ duplicate: 1 });
    network.send('a', 'b', { kind: 'PRE_VOTE_RESPONSE', body: { term: 1, granted: true } });
    network.send('a', 'b', ask(1));
    run(30);
    expect(b.seen.filter((one) => one === 'PRE_VOTE_RESPONSE')).toHaveLength(2);
    expect(b.seen.filter((one) => one === 'a 1')).toHaveLength(1);
  });
});
