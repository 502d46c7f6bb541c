import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Rule } from '../api/rule.ts';
import { nodeHost } from './io/host.ts';
import { LOG_KEPT } from './coordinator-parts.ts';
import { STATE_COMMIT_MS } from './durability.ts';
import { HASH_INTERVAL } from './state-hashes.ts';
import { FORWARDED_MAX } from './proposals.ts';
import { QUERIES_WAITING_MAX } from './reads.ts';
import { TestCluster } from './test-cluster.ts';

const RULE: Rule = {
  id: 'r',
  version: 1,
  priority: 0,
  enabled: true,
  conditions: { field: 'event_type', op: 'equals', value: 'go' },
  actions: [{ workflow: 'w' }],
};

let group: TestCluster;

beforeEach(() => {
  group = new TestCluster(nodeHost, ['a', 'b', 'c']);
  group.change({
    kind: 'putWorkflow',
    workflow: { id: 'w', version: 1, tasks: [{ id: 't', type: 'log' }] },
    mode: 'upsert',
  });
  group.change({ kind: 'putRule', rule: RULE, mode: 'upsert' });
  group.run(200);
});

function send(id: string, values: readonly Record<string, unknown>[]): string[] {
  const answer = group.submit(id, values);
  group.until(() => answer.outcomes !== undefined);
  return answer.outcomes!.map((outcome) => ('accepted' in outcome ? outcome.accepted.messageId : outcome.error.code));
}

/** Entries that change nothing, one each. */
function fillLog(count: number): void {
  const leader = group.leader();
  for (let done = 0; done < count; done += 500) {
    for (let i = 0; i < 500; i++) group.command(leader, { kind: 'cancelInstance', id: 'nobody' });
    group.run(50);
  }
  group.run(300);
}

describe('a restart', () => {
  it('of all coordinators at once brings everything back that was answered', () => {
    const ids = send(group.leader(), [{ event_type: 'go' }, {}, { event_type: 'go' }]);
    const { hash } = group.at(group.leader()).core.state;
    for (const id of group.voters) group.crash(id);
    const leader = group.leader();
    const { state } = group.at(leader).core;
    expect(state.hash).toBe(hash);
    for (const id of ids) expect(state.messages.has(id)).toBe(true);
    expect(state.instances.active.size).toBe(2);
    expect(state.catalog.version).toBe(1);
    expect(send(leader, [{ event_type: 'go' }])[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(state.instances.active.size).toBe(3);
  });

  it('tells its metrics the term that it had', () => {
    const [follower] = group.followers();
    const { term } = group.at(follower!).core.raft;
    group.crash(follower!);
    group.turn();
    expect(group.at(follower!).metrics.of(`follower in term ${term}`)).toBe(1);
  });

  it('goes on from what was committed of the state, and from the log after that', () => {
    const leader = group.leader();
    group.run(2 * STATE_COMMIT_MS);
    const before = group.at(leader).stateCommits;
    const [id] = send(leader, [{ event_type: 'go' }]);
    const [follower] = group.followers();
    group.crash(follower!);
    group.run(1_000);
    expect(group.at(follower!).core.state.messages.has(id!)).toBe(true);
    expect(group.at(follower!).core.state.hash).toBe(group.at(leader).core.state.hash);
    expect(group.at(leader).stateCommits).toBeGreaterThan(before);
  });

  it('is possible after any crash: the state never reaches the disk before the log', () => {
    const [follower] = group.followers();
    group.run(2 * STATE_COMMIT_MS);
    group.at(follower!).diskStalled = true;
    const { stateCommits } = group.at(follower!);
    const [id] = send(group.leader(), [{ event_type: 'go' }]);
    // The append of the second says that the first is committed.
    send(group.leader(), [{}]);
    group.run(250);
    // Applied there, on the disks of the other two; not on its own.
    expect(group.at(follower!).core.state.messages.has(id!)).toBe(true);
    expect(group.at(follower!).stateCommits).toBe(stateCommits);
    group.crash(follower!);
    group.run(1_000);
    expect(group.at(follower!).core.state.messages.has(id!)).toBe(true);
  });

  it('after the commit for a shutdown has nothing to replay', () => {
    send(group.leader(), [{}]);
    const { core, store } = group.at('a');
    core.commitNow();
    group.turn();
    expect(core.commitNow()).toBe(false);
    expect(JSON.parse(Buffer.from(store.get('meta')!).toString())).toMatchObject({
      appliedIndex: core.state.appliedIndex,
    });
  });
});

describe('the log', () => {
  it('is cut once it is long, keeps what close followers need, and still restarts', () => {
    fillLog(LOG_KEPT.entriesTrigger + 1_000);
    for (const id of group.voters) {
      const { log } = group.at(id).core.raft;
      expect(log.firstIndex).toBeGreaterThan(LOG_KEPT.entriesTrigger - LOG_KEPT.entriesKept);
      expect(log.lastIndex - log.firstIndex).toBeGreaterThanOrEqual(LOG_KEPT.entriesKept);
      expect(Math.min(...group.at(id).disk.entries.keys())).toBe(log.firstIndex);
    }
    for (const id of group.voters) group.crash(id);
    expect(send(group.leader(), [{}])[0]).toMatch(/^[0-9a-f-]{36}$/);
    group.run(500);
    const hashes = new Set(group.voters.map((id) => group.at(id).core.state.hash));
    expect(hashes.size).toBe(1);
  });

  it('is not cut while a coordinator is away', () => {
    const [follower] = group.followers();
    group.isolate(follower!);
    const { lastIndex } = group.at(follower!).core.raft.log;
    fillLog(LOG_KEPT.entriesTrigger + 1_000);
    expect(group.at(group.leader()).core.raft.log.firstIndex).toBeLessThanOrEqual(lastIndex);
    group.rejoin(follower!);
    group.run(2_000);
    expect(group.at(follower!).core.state.hash).toBe(group.at(group.leader()).core.state.hash);
  });
});

describe('a log over its size', () => {
  it('is cut to half of what it may be, however few entries that are', () => {
    const logKept = { entriesTrigger: 10_000, entriesKept: 2_000, bytesMax: 4_000 };
    const nothing = (): void => undefined;
    const snapshots = {
      take: nothing,
      read: nothing,
      drop: nothing,
      keep: nothing,
      install: nothing,
      abandon: nothing,
    };
    const alone = new TestCluster(nodeHost, ['a'], { config: { logKept }, snapshots });
    alone.leader();
    const { core, disk } = alone.at('a');
    // 100 bytes an entry on this disk.
    alone.at('a').logBytes = () => (disk.lastIndex - disk.firstIndex + 1) * 100;
    for (let i = 0; i < 200; i++) {
      alone.command('a', { kind: 'cancelInstance', id: 'nobody' });
      alone.run(10);
    }
    alone.run(1_000);
    const kept = core.raft.log.lastIndex - core.raft.log.firstIndex + 1;
    expect(kept).toBeLessThan(41);
    expect(kept).toBeGreaterThanOrEqual(19);
  });
});

describe('a replica that has diverged', () => {
  /** From now on these followers tell other hashes than their own. */
  function diverge(hashes: Readonly<Record<string, number>>): void {
    group.bufferFull = (from, _to, message) => {
      const hash = hashes[from];
      if (message.kind === 'APPEND_ENTRIES_RESPONSE' && hash !== undefined) message.body.stateHash = hash;
      return false;
    };
  }

  it('is noticed by the leader, and holds up nothing', () => {
    const leader = group.leader();
    const [follower, other] = group.followers();
    diverge({ [follower!]: 12_345 });
    fillLog(HASH_INTERVAL);
    expect(group.at(leader).metrics.of('hash mismatch')).toBeGreaterThan(0);
    expect(group.at(other!).core.raft.log.lastIndex).toBeGreaterThan(HASH_INTERVAL);
    expect(send(leader, [{}])).toHaveLength(1);
  });

  it('stops once it hears what the majority has', () => {
    fillLog(HASH_INTERVAL);
    const leader = group.leader();
    const [follower] = group.followers();
    const heartbeats = group.sent.flatMap(({ to, message }) =>
      to === follower && message.kind === 'APPEND_ENTRIES' && message.body.entries.length === 0 ? [message.body] : [],
    );
    const last = heartbeats.at(-1)!;
    expect(last.hashIndex).toBeGreaterThanOrEqual(HASH_INTERVAL);
    group.send(leader, follower!, { kind: 'APPEND_ENTRIES', body: { ...last, stateHash: 12_345 } });
    expect(() => group.run(10)).toThrow(`the state of "${follower!}" has diverged`);
  });

  it('stops when it is the leader', () => {
    const leader = group.leader();
    const [one, other] = group.followers();
    diverge({ [one!]: 12_345, [other!]: 12_345 });
    expect(() => fillLog(HASH_INTERVAL)).toThrow(`the state of "${leader}" has diverged`);
  });

  it('among others that have too is not known: no writes are taken', () => {
    const leader = group.leader();
    const [one, other] = group.followers();
    diverge({ [one!]: 12_345, [other!]: 12_346 });
    fillLog(HASH_INTERVAL);
    const before = group.at(leader).core.state.appliedIndex;
    const answer = group.submit(leader, [{}]);
    group.run(10_000);
    expect(answer.outcomes?.[0]).toMatchObject({ error: { code: 'STATE_DIVERGED' } });
    expect(group.at(leader).core.state.appliedIndex).toBe(before);
  });
});

describe('a worker that speaks of Raft', () => {
  it('is not heard: no leader gives way to it, and no replica is called diverged', () => {
    fillLog(HASH_INTERVAL);
    const leader = group.leader();
    const { term } = group.at(leader).core.raft;
    const none = { matchIndex: 1, lastLogIndex: 1, hintIndex: 0, hintTerm: 0, readRound: 0, wallMs: 1 };
    const say = (said: number): void => {
      const body = { ...none, term: said, success: true, hashIndex: HASH_INTERVAL, stateHash: 12_345 };
      const message = { kind: 'APPEND_ENTRIES_RESPONSE', body } as const;
      group.at(leader).inputs.push({ kind: 'message', from: 'w1', message });
      group.run(10);
    };
    say(term);
    say(term + 5);
    expect(group.at(leader).metrics.of('hash mismatch')).toBe(0);
    expect(group.at(leader).core.raft.term).toBe(term);
    expect(group.leader()).toBe(leader);
  });

  it('does not make members stand back', () => {
    const group = new TestCluster(nodeHost, ['a', 'b', 'c']);
    group.run(3_000);
    const body = { membershipIndex: Number.MAX_SAFE_INTEGER };
    for (const id of ['a', 'b', 'c']) {
      const { inputs } = group.at(id);
      inputs.push({ kind: 'peerUp', peer: 'w1', role: 'worker' });
      inputs.push({ kind: 'message', from: 'w1', message: { kind: 'NOT_A_MEMBER', body } });
    }
    group.run(3_000);
    expect(['a', 'b', 'c'].map((id) => group.at(id).core.members.standing.place)).toEqual([
      'member',
      'member',
      'member',
    ]);
  });
});

describe('a coordinator that is no member', () => {
  it('deposes no leader that is heard', () => {
    const leader = group.leader();
    const { term, log } = group.at(leader).core.raft;
    const body = { leaderId: 'z', prevLogIndex: log.lastIndex, prevLogTerm: term, leaderCommit: 0, entries: [] };
    for (const id of ['a', 'b', 'c']) {
      const { inputs } = group.at(id);
      inputs.push({ kind: 'peerUp', peer: 'z', role: 'coordinator' });
      const message = {
        kind: 'APPEND_ENTRIES',
        body: { ...body, term: term + 5, readRound: 0, cutBefore: 0 },
      } as const;
      inputs.push({ kind: 'message', from: 'z', message });
    }
    group.run(10);
    expect(group.leader()).toBe(leader);
    expect(['a', 'b', 'c'].map((id) => group.at(id).core.raft.term)).toEqual([term, term, term]);
  });
});

describe('a halted coordinator', () => {
  it('lets nothing out any more', () => {
    const leader = group.leader();
    group.at(leader).core.halt();
    const before = group.sent.length;
    group.submit(leader, [{}]);
    for (let i = 0; i < 10; i++) group.turn();
    expect(group.sent.slice(before).filter(({ from }) => from === leader)).toEqual([]);
  });
});

describe('what waits', () => {
  it('for the leader is bounded, on a follower', () => {
    const [follower] = group.followers();
    group.bufferFull = (_from, _to, { kind }) => kind === 'FORWARD_RESULT';
    const answers = Array.from({ length: FORWARDED_MAX + 1 }, () =>
      group.command(follower!, { kind: 'deleteRule', id: 'nobody' }),
    );
    group.turn();
    expect(answers.filter(({ outcome }) => outcome !== undefined)).toHaveLength(1);
    expect(answers.at(-1)!.outcome).toMatchObject({ error: { code: 'QUEUE_FULL' } });
  });

  it('for a read index is bounded', () => {
    const [follower] = group.followers();
    group.isolate(follower!);
    const reads = Array.from({ length: QUERIES_WAITING_MAX + 1 }, () => group.query(follower!, { kind: 'rules' }));
    group.turn();
    expect(reads.filter(({ outcome }) => outcome !== undefined)).toHaveLength(1);
    expect(reads.at(-1)!.outcome).toMatchObject({ error: { code: 'QUEUE_FULL' } });
    group.rejoin(follower!);
    group.run(2_000);
    expect(reads.filter(({ outcome }) => outcome !== undefined && 'result' in outcome)).toHaveLength(
      QUERIES_WAITING_MAX,
    );
  });
});

it('a message that is not for a coordinator changes nothing', () => {
  const leader = group.leader();
  const { hash } = group.at(leader).core.state;
  group.send(group.followers()[0]!, leader, { kind: 'TASK_STATUS', body: { acks: [] } });
  group.run(100);
  expect(group.at(leader).core.state.hash).toBe(hash);
});

describe('storage limits', () => {
  it('refuse messages by the fullest voter, a follower too, and take them again when it has room', () => {
    const leader = group.leader();
    const [follower] = group.followers();
    group.at(follower!).fullness = { what: 'disk', share: 0.82 };
    group.run(300);
    expect(send(leader, [{}])).toEqual(['STORAGE_FULL']);
    expect(send(follower!, [{}])).toEqual(['STORAGE_FULL']);
    expect(group.at(leader).metrics.of('storage soft')).toBe(1);
    const answer = group.query(leader, { kind: 'clusterStatus' });
    group.until(() => answer.outcome !== undefined);
    expect(answer.outcome).toMatchObject({
      result: {
        storage_level: 'soft',
        coordinators: expect.arrayContaining([
          expect.objectContaining({ id: follower, storage: { what: 'disk', share: 0.82 } }),
        ]),
      },
    });
    group.at(follower!).fullness = { what: 'disk', share: 0.5 };
    group.run(300);
    expect(send(leader, [{}])[0]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('do not look at a voter that is away: the others go on without it', () => {
    const leader = group.leader();
    const [follower] = group.followers();
    group.at(follower!).fullness = { what: 'log', share: 0.95 };
    group.run(300);
    expect(send(leader, [{}])).toEqual(['STORAGE_FULL']);
    group.isolate(follower!);
    group.run(2_000);
    expect(send(leader, [{}])[0]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('let running work go on over the soft limit, and hold it over the hard one, where administration still works', () => {
    const worker = group.addWorker('w', ['log']);
    group.run(300);
    const leader = group.leader();
    const room = group.at(leader);
    send(leader, [{ event_type: 'go' }, { event_type: 'go' }, { event_type: 'go' }]);
    group.until(() => worker.begun.length === 2); // its capacity
    room.fullness = { what: 'state', share: 0.85 };
    group.run(300);
    worker.finish(0);
    group.until(() => worker.begun.length === 3);
    room.fullness = { what: 'state', share: 0.93 };
    group.run(300);
    worker.finish(1);
    group.run(1_000);
    expect(room.core.state.instances.active.size).toBe(2);
    const ids = [...room.core.state.instances.active.keys()];
    group.change({ kind: 'cancelInstance', id: ids.at(-1)! });
    group.change({ kind: 'deleteRule', id: 'r' });
    room.fullness = { what: 'state', share: 0.5 };
    group.run(5_000); // until the worker reports again
    expect(room.core.state.instances.active.size).toBe(0);
  });
});
