import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Random } from '../../../base/random.ts';
import { SWIM_DEFAULTS } from '../../core/swim/swim-config.ts';
import type { GossipMessage, MemberView } from '../../core/swim/swim-ports.ts';
import type { GossipNews } from '../../gossip-view.ts';
import type { GossipMetrics } from '../../metrics.ts';
import { nodeHost } from '../host.ts';
import { GossipDriver, type MemberEvent } from './gossip-driver.ts';
import { NO_LOG } from './net-metrics.ts';
import { closeAll, closeLater } from './test-peers.ts';

afterEach(closeAll);

const NO_UDP_METRICS = {
  packetSent: () => undefined,
  packetReceived: () => undefined,
  sendFailed: () => undefined,
  packetDropped: () => undefined,
};

interface Node {
  id: string;
  driver: GossipDriver;
  events: string[];
  counts: Record<string, number>;
  kept: number[];
  until: (condition: () => boolean) => Promise<void>;
}

/** Links are handed over in memory: what is under test is everything but TCP. */
const links = new Map<string, Node>();

interface Given {
  ceiling?: number;
  keep?: () => Promise<void>;
  keyFile?: string;
}

async function node(id: string, given: Given = {}): Promise<Node> {
  const { ceiling = 0, keep = () => Promise.resolve(), keyFile } = given;
  const address = { host: '127.0.0.1', port: 0 };
  const waiting = new Set<() => void>();
  const look = (): void => {
    for (const one of [...waiting]) one();
  };
  const counts: Record<string, number> = {};
  const count = (name: string): void => {
    counts[name] = (counts[name] ?? 0) + 1;
    look();
  };
  const metrics: GossipMetrics = {
    gossipSent: (kind, over) => count(`sent ${kind} ${over}`),
    gossipReceived: (kind, over) => count(`received ${kind} ${over}`),
    memberEvent: count,
    accused: () => count('accused'),
    probed: () => count('probed'),
    stoodStill: () => count('stoodStill'),
    observeGossip: () => undefined,
  };
  const kept: number[] = [];
  const driver = await GossipDriver.open({
    host: nodeHost,
    nodeId: id,
    clusterName: 'test',
    listener: { on: true, address, ...(keyFile === undefined ? {} : { keyFile }) },
    details: { role: id.startsWith('c') ? 'coordinator' : 'worker', softwareVersion: '1', labels: [] },
    ceiling,
    keep: async (number) => {
      await keep();
      kept.push(number);
    },
    random: new Random(id.charCodeAt(1)),
    config: { ...SWIM_DEFAULTS, probeMs: 50, ackMs: 50, probeEndMs: 175, suspicionMs: 200, gossipMs: 20 },
    metrics,
    udpMetrics: NO_UDP_METRICS,
    log: NO_LOG,
  });
  closeLater(() => driver.close());
  const events: string[] = [];
  driver.listen({
    event: ({ kind, member }: MemberEvent) => {
      events.push(`${kind} ${member.id}`);
      look();
    },
    news: look,
  });
  driver.useStreams((peer, message) => {
    const to = links.get(peer);
    if (to !== undefined) setImmediate(() => to.driver.streamed(id, message));
    return to !== undefined;
  });
  const until = (condition: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (!condition()) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });
  const made = { id, driver, events, counts, kept, until };
  links.set(id, made);
  closeLater(() => Promise.resolve(void links.delete(id)));
  return made;
}

function link(a: Node, b: Node): void {
  a.driver.linkUp(b.id, b.id.startsWith('c'));
  b.driver.linkUp(a.id, a.id.startsWith('c'));
}

function statusAt({ driver }: Node, id: string): MemberView['status'] | undefined {
  return driver.members().find((member) => member.id === id)?.status;
}

describe('GossipDriver', () => {
  it('joins over a connection, probes by datagrams, and finds the dead', async () => {
    const [c1, w1, w2] = [await node('c1'), await node('w1'), await node('w2')];
    link(c1, w1);
    link(c1, w2);
    await Promise.all([w1.until(() => statusAt(w1, 'w2') === 'alive'), w2.until(() => statusAt(w2, 'w1') === 'alive')]);
    await w1.until(() => (w1.counts['probed'] ?? 0) > 0);
    links.delete('w2');
    await w2.driver.close();
    await Promise.all([c1, w1].map((one) => one.until(() => one.events.includes('fail w2'))));
    expect(statusAt(c1, 'w1')).toBe('alive');
    expect(c1.counts['fail']).toBe(1);
  });

  it('tells the others when it leaves, and waits for that', async () => {
    const [c1, w1] = [await node('c1'), await node('w1')];
    link(c1, w1);
    await w1.until(() => statusAt(w1, 'c1') === 'alive');
    await w1.driver.leave();
    await c1.until(() => c1.events.includes('leave w1'));
    expect(statusAt(c1, 'w1')).toBe('left');
    expect(c1.events).not.toContain('fail w1');
  });

  it('says nothing before its first incarnation is kept, and begins above all of before', async () => {
    let isKept = (): void => undefined;
    const kept = new Promise<void>((resolve) => (isKept = resolve));
    const [c1, w1] = [await node('c1'), await node('w1', { ceiling: 500, keep: () => kept })];
    link(c1, w1);
    await c1.until(() => (c1.counts['sent PUSH_PULL stream'] ?? 0) > 0);
    expect(w1.counts).not.toHaveProperty('sent PUSH_PULL stream');
    isKept();
    await c1.until(() => statusAt(c1, 'w1') === 'alive');
    const { incarnation = 0 } = c1.driver.members().find(({ id }) => id === 'w1') ?? {};
    expect(incarnation).toBeGreaterThan(500);
    expect(w1.kept[0]).toBeGreaterThan(incarnation);
  });

  it('joins all the same when the disk does not take its incarnation at first', async () => {
    let tries = 0;
    const keep = (): Promise<void> => (++tries === 1 ? Promise.reject(new Error('no space')) : Promise.resolve());
    const [c1, w1] = [await node('c1'), await node('w1', { keep })];
    link(c1, w1);
    await c1.until(() => statusAt(c1, 'w1') === 'alive');
    expect(tries).toBe(2);
    expect(w1.kept).toHaveLength(1);
  });

  it('finds coordinators by asking who is there, and workers do not answer', async () => {
    const [c1, w1, w2] = [await node('c1'), await node('w1'), await node('w2')];
    w2.driver.ask(w1.driver.address);
    await w1.until(() => w1.counts['received PING datagram'] === 1);
    w2.driver.ask(c1.driver.address);
    await w2.until(() => statusAt(w2, 'c1') === 'alive');
    expect(w2.driver.members().map(({ id }) => id)).toEqual(['w2', 'c1']);
  });

  it('tells of itself what is new, as news to its listeners elsewhere', async () => {
    const [c1, w1] = [await node('c1'), await node('w1')];
    link(c1, w1);
    await w1.until(() => statusAt(w1, 'c1') === 'alive');
    const heard: GossipNews[] = [];
    w1.driver.listen({ news: (news) => heard.push(news) });
    expect(heard[0]).toMatchObject({ state: 'on', whole: true });
    c1.driver.describe({ raftState: 'leader', raftTerm: 7 });
    await w1.until(() => w1.events.includes('update c1'));
    const told = heard.flatMap(({ members }) => members).filter(({ id }) => id === 'c1');
    expect(told.at(-1)?.details).toMatchObject({ raftState: 'leader', raftTerm: 7 });
  });

  it('tells when members answer over connections only, and accuses nobody', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'distric-gossip-'));
    closeLater(() => rmSync(dir, { recursive: true }));
    const files = ['one', 'other'].map((name) => join(dir, name));
    const texts = files.map(() => JSON.stringify([{ id: 1, key: randomBytes(32).toString('base64') }]));
    for (const [at, file] of files.entries()) writeFileSync(file, texts[at]!);
    // What is sealed with another key is as good as lost.
    const [c1, c2] = [await node('c1', { keyFile: files[0]! }), await node('c2', { keyFile: files[1]! })];
    link(c1, c2);
    await c1.until(() => statusAt(c1, 'c2') === 'alive');
    const states: string[] = [];
    c1.driver.listen({ news: ({ state }) => states.push(state) });
    await c1.until(() => states.at(-1) === 'blocked');
    expect(c1.driver.condition().blocked).toBe(true);
    writeFileSync(files[1]!, texts[0]!);
    await c1.until(() => states.at(-1) === 'on');
    expect([...c1.events, ...c2.events].filter((event) => !event.startsWith('join'))).toEqual([]);
  });

  it('drops what is of another cluster, and everything at once in a datagram', async () => {
    const [c1, w1] = [await node('c1'), await node('w1')];
    const claims = [{ id: 'x', incarnation: 1, status: 0 }];
    const from = w1.driver.address;
    c1.driver.datagram({ kind: 'STATE', body: { from: 'x', cluster: 'other', claims } }, from, 1);
    const all: GossipMessage = { kind: 'PUSH_PULL', body: { from: 'x', cluster: 'test', answer: true, claims } };
    c1.driver.datagram(all, from, 1);
    expect(c1.driver.members().map(({ id }) => id)).toEqual(['c1']);
    c1.driver.streamed('x', all);
    expect(c1.driver.members().map(({ id }) => id)).toEqual(['c1', 'x']);
  });
});
