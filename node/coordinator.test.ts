import { describe, expect, it } from '@jest/globals';
import type { Rule } from '../api/rule.ts';
import type { Workflow } from '../api/workflow.ts';
import type { CoordinatorConfig } from './coordinator-parts.ts';
import { COMMAND } from './core/state/commands.ts';
import { DONE, ProposalResult } from './core/state/outcomes.ts';
import type { Body, Message } from './core/tlv/messages.ts';
import { encode } from './core/tlv/struct.ts';
import { nodeHost } from './io/host.ts';
import { COMMAND_BYTES_MAX } from './proposals.ts';
import { WARNINGS_BURST } from './rare-warnings.ts';
import { READ_TIMEOUT_MS } from './reads.ts';
import type { ItemOutcome } from './requests.ts';
import { ACTIVE_INSTANCES_MAX, TestCluster } from './test-cluster.ts';

const WORKFLOW: Workflow = { id: 'w', version: 1, tasks: [{ id: 't', type: 'log' }] };
const RULE: Rule = {
  id: 'r',
  version: 1,
  priority: 0,
  enabled: true,
  conditions: { field: 'event_type', op: 'equals', value: 'go' },
  actions: [{ workflow: 'w' }],
};

function cluster(voters = ['a', 'b', 'c'], config: Partial<CoordinatorConfig> = {}): TestCluster {
  const made = new TestCluster(nodeHost, voters, { config });
  made.change({ kind: 'putWorkflow', workflow: WORKFLOW, mode: 'upsert' });
  made.change({ kind: 'putRule', rule: RULE, mode: 'upsert' });
  made.run(200);
  return made;
}

function codes(outcomes: readonly ItemOutcome[] | undefined): string[] | undefined {
  return outcomes?.map((outcome) => ('error' in outcome ? outcome.error.code : 'accepted'));
}

describe('a proposal', () => {
  it.each(['leader', 'follower'])('that no frame carries is refused by a %s, and the log goes on', (where) => {
    const group = cluster();
    const id = where === 'leader' ? group.leader() : group.followers()[0]!;
    const huge = { ...WORKFLOW, tasks: [{ id: 't', type: 'log', config: { text: 'x'.repeat(COMMAND_BYTES_MAX) } }] };
    const command = group.command(id, { kind: 'putWorkflow', workflow: huge, mode: 'upsert' });
    const answer = group.submit(id, [{}]);
    group.until(() => command.outcome !== undefined && answer.outcomes !== undefined);
    expect(command.outcome).toMatchObject({ error: { code: 'PAYLOAD_TOO_LARGE' } });
    expect(codes(answer.outcomes)).toEqual(['accepted']);
  });

  it('of a kind that no ingress proposes, or from a worker, is not appended: it would stop every replica', () => {
    const group = cluster();
    const leader = group.leader();
    const [follower] = group.followers();
    const { lastIndex } = group.at(leader).core.raft.log;
    const propose = (from: string, commandKind: number): void => {
      const body = { requestId: 1, commandKind, command: Buffer.from('') };
      group.at(leader).inputs.push({ kind: 'message', from, message: { kind: 'FORWARD_PROPOSE', body } });
      group.run(100);
    };
    propose(follower!, 200);
    propose(follower!, COMMAND.registerWorker);
    propose('w1', COMMAND.deleteRule);
    expect(group.at(leader).core.raft.log.lastIndex).toBe(lastIndex);
  });
});

describe('a worker that speaks as a coordinator', () => {
  it('is refused, and logged a few times only', () => {
    const group = cluster();
    const leader = group.leader();
    const { term } = group.at(leader).core.raft;
    const message: Message = { kind: 'TIMEOUT_NOW', body: { term: term + 1 } };
    for (let i = 0; i < 20 * WARNINGS_BURST; i++)
      group.at(leader).inputs.push({ kind: 'message', from: 'w1', message });
    group.run(100);
    expect(group.at(leader).core.raft.term).toBe(term);
    const told = group.at(leader).warnings.filter((text) => text === 'message refused: not from a coordinator');
    expect(told).toHaveLength(WARNINGS_BURST);
  });
});

describe('a worker that answers for the leader', () => {
  it('acknowledges no message', () => {
    const group = cluster();
    const [follower] = group.followers();
    group.bufferFull = (_from, _to, { kind }) => kind === 'FORWARD_RESULT';
    const answer = group.submit(follower!, [{ event_type: 'go' }]);
    const asked = () => group.sent.find(({ from, message }) => from === follower && message.kind === 'FORWARD_PROPOSE');
    group.until(() => asked() !== undefined);
    const result = encode(nodeHost, ProposalResult, DONE);
    const { requestId } = asked()!.message.body as Body<'FORWARD_PROPOSE'>;
    const message: Message = { kind: 'FORWARD_RESULT', body: { requestId, result } };
    group.at(follower!).inputs.push({ kind: 'message', from: 'w1', message });
    expect(() => group.run(50)).not.toThrow();
    expect(answer.outcomes).toBeUndefined();
    group.bufferFull = () => false;
    group.until(() => answer.outcomes !== undefined);
  });

  it('confirms no read', () => {
    const group = cluster();
    const [follower] = group.followers();
    group.bufferFull = (_from, _to, { kind }) => kind === 'READ_INDEX_RESPONSE';
    const query = group.query(follower!, { kind: 'rules' });
    const asked = () => group.sent.find(({ message }) => message.kind === 'READ_INDEX');
    group.until(() => asked() !== undefined);
    const { requestId } = asked()!.message.body as Body<'READ_INDEX'>;
    const message: Message = { kind: 'READ_INDEX_RESPONSE', body: { requestId, ok: true, index: 0 } };
    group.at(follower!).inputs.push({ kind: 'message', from: 'w1', message });
    group.run(50);
    expect(query.outcome).toBeUndefined();
  });
});

describe('a message', () => {
  it.each(['leader', 'follower'])('is answered by a %s as it was applied, and every coordinator has it', (where) => {
    const group = cluster();
    const id = where === 'leader' ? group.leader() : group.followers()[0]!;
    const answer = group.submit(id, [{ event_type: 'go' }, { event_type: 'other' }]);
    group.until(() => answer.outcomes !== undefined);
    const [first, second] = answer.outcomes!;
    expect(first).toMatchObject({ accepted: { workflowsTriggered: ['w'], duplicate: false } });
    expect(second).toMatchObject({ accepted: { workflowsTriggered: [], instances: [] } });
    const { messageId, instances } = (first as { accepted: { messageId: string; instances: string[] } }).accepted;
    expect(instances).toEqual([`${messageId}-1`]);
    group.run(200);
    for (const { core } of group.coordinators.values()) {
      expect(core.state.messages.has(messageId)).toBe(true);
      expect(core.state.hash).toBe(group.at(id).core.state.hash);
    }
    expect(group.at(id).metrics.of('accepted')).toBe(2);
  });

  it('is answered once it is on a majority of disks, not before', () => {
    const group = cluster();
    const leader = group.leader();
    for (const id of group.followers()) group.at(id).diskStalled = true;
    const answer = group.submit(leader, [{}]);
    group.run(200);
    expect(answer.outcomes).toBeUndefined();
    group.at(group.followers()[0]!).resumeDisk();
    group.run(50);
    expect(codes(answer.outcomes)).toEqual(['accepted']);
  });

  it('waits for a leader, and is refused at the deadline when there is none: nothing was kept', () => {
    const group = cluster();
    const leader = group.leader();
    const [follower] = group.followers();
    group.isolate(follower!);
    group.run(1_000);
    const answer = group.submit(follower!, [{}]);
    group.run(9_000);
    expect(answer.outcomes).toBeUndefined();
    group.run(2_000);
    expect(codes(answer.outcomes)).toEqual(['NO_LEADER']);
    expect(group.at(leader).core.state.messages.count).toBe(0);
    expect(group.at(follower!).metrics.of('refused NO_LEADER')).toBe(1);
  });

  it('taken by a leader that is cut off is unknown at the deadline', () => {
    const group = cluster();
    const leader = group.leader();
    const answer = group.submit(leader, [{}]);
    group.turn();
    group.isolate(leader);
    group.run(12_000);
    expect(codes(answer.outcomes)).toEqual(['OUTCOME_UNKNOWN']);
  });

  it('whose leader dies on it is sent again to the next one, and kept once', () => {
    const group = cluster();
    const leader = group.leader();
    const [follower] = group.followers();
    const answer = group.submit(follower!, [{ event_type: 'go' }]);
    group.turn();
    group.turn();
    group.isolate(leader);
    group.until(() => answer.outcomes !== undefined);
    expect(codes(answer.outcomes)).toEqual(['accepted']);
    const next = group.at(group.leader()).core.state;
    expect(next.messages.count).toBe(1);
    expect(next.instances.active.size).toBe(1);
  });

  it('whose answer is lost on the way back is unknown at the deadline, not waited for without end', () => {
    const group = cluster();
    const [follower] = group.followers();
    group.bufferFull = (_from, _to, { kind }) => kind === 'FORWARD_RESULT';
    const answer = group.submit(follower!, [{}]);
    const command = group.command(follower!, { kind: 'cancelInstance', id: 'nobody' });
    group.run(9_500);
    expect([answer.outcomes, command.outcome]).toEqual([undefined, undefined]);
    group.run(1_500);
    expect(codes(answer.outcomes)).toEqual(['OUTCOME_UNKNOWN']);
    expect(command.outcome).toMatchObject({ error: { code: 'OUTCOME_UNKNOWN' } });
    expect(group.at(follower!).ingress.unanswered).toBe(0);
    expect(group.at(group.leader()).core.state.messages.count).toBe(1);
  });

  it('is refused while too many instances run, and taken again when they end', () => {
    const group = cluster();
    const leader = group.leader();
    const full = group.submit(
      leader,
      new Array(ACTIVE_INSTANCES_MAX).fill({ event_type: 'go' }) as Record<string, unknown>[],
    );
    group.until(() => full.outcomes !== undefined);
    const refused = group.submit(leader, [{}]);
    group.until(() => refused.outcomes !== undefined);
    expect(codes(refused.outcomes)).toEqual(['QUEUE_FULL']);
    for (const id of [...group.at(leader).core.state.instances.active.keys()])
      group.change({ kind: 'cancelInstance', id });
    const taken = group.submit(leader, [{}]);
    group.until(() => taken.outcomes !== undefined);
    expect(codes(taken.outcomes)).toEqual(['accepted']);
  });

  it.each(['leader', 'follower'])('counts what applying starts, not bytes alone: by way of a %s', (where) => {
    const group = cluster(['a', 'b', 'c'], { unappliedRowsMax: 3 });
    const leader = group.leader();
    const [follower = ''] = group.followers();
    const through = where === 'leader' ? leader : follower;
    // Nothing commits, so nothing is applied.
    for (const id of group.voters) group.at(id).diskStalled = true;
    const send = (event_type: string) => {
      const answer = group.submit(through, [{ event_type }]);
      group.run(50);
      return answer;
    };
    const first = [send('go'), send('other'), send('go')];
    const full = send('go');
    expect(first.map(({ outcomes }) => codes(outcomes))).toEqual([undefined, undefined, undefined]);
    expect(codes(full.outcomes)).toEqual(['QUEUE_FULL']);
    // An instance and its task, each: the second was taken below the limit.
    expect(codes(send('other').outcomes)).toEqual(['QUEUE_FULL']);
    for (const id of group.voters) group.at(id).resumeDisk();
    group.until(() => first.every(({ outcomes }) => outcomes !== undefined));
    const again = send('go');
    group.until(() => again.outcomes !== undefined);
    expect([...first, again].map(({ outcomes }) => codes(outcomes))).toEqual(new Array(4).fill(['accepted']));
  });
});

describe('a change of the catalog', () => {
  it('is seen by every message that is accepted after it, wherever it came in', () => {
    const group = cluster();
    const leader = group.leader();
    const [follower] = group.followers();
    const change = group.command(leader, { kind: 'putRule', rule: { ...RULE, id: 'r2' }, mode: 'create' });
    const before = group.submit(follower!, [{ event_type: 'go' }]);
    group.until(() => change.outcome !== undefined && before.outcomes !== undefined);
    const after = group.submit(follower!, [{ event_type: 'go' }]);
    group.until(() => after.outcomes !== undefined);
    expect(after.outcomes).toMatchObject([{ accepted: { workflowsTriggered: ['w', 'w'] } }]);
    // What the follower evaluated with the older catalog was refused by the leader and evaluated again.
    expect(before.outcomes).toMatchObject([{ accepted: {} }]);
  });

  it.each(['leader', 'follower'])('through a %s gives the resource as stored, or the reason', (where) => {
    const group = cluster();
    const id = where === 'leader' ? group.leader() : group.followers()[1]!;
    const stored = group.command(id, { kind: 'putRule', rule: { ...RULE, priority: 3 }, mode: 'upsert' });
    const refused = group.command(id, { kind: 'deleteWorkflow', id: 'w' });
    const unknown = group.command(id, { kind: 'deleteRule', id: 'nobody' });
    group.until(() => unknown.outcome !== undefined);
    expect(stored.outcome).toMatchObject({ result: { id: 'r', priority: 3, revision: 2, change: 'configured' } });
    expect(refused.outcome).toMatchObject({ error: { code: 'IN_USE' } });
    expect(unknown.outcome).toMatchObject({ error: { code: 'NOT_FOUND' } });
  });

  it('is not sent again when its leader is lost: it may have been made', () => {
    const group = cluster();
    const leader = group.leader();
    const [follower] = group.followers();
    const answer = group.command(follower!, { kind: 'putRule', rule: { ...RULE, id: 'r2' }, mode: 'create' });
    group.turn();
    group.isolate(leader);
    group.until(() => answer.outcome !== undefined);
    expect(answer.outcome).toMatchObject({ error: { code: 'OUTCOME_UNKNOWN' } });
  });
});

describe('a leader that comes back to lead after its entries were replaced', () => {
  it('answers what it had taken, and takes messages again', () => {
    const group = cluster();
    const first = group.leader();
    group.isolate(first);
    // A catalog change and messages that reach nobody.
    const lost = group.command(first, { kind: 'putRule', rule: { ...RULE, id: 'lost' }, mode: 'create' });
    const messages = [1, 2, 3].map((n) => group.submit(first, [{ n }]));
    group.run(100);
    group.until(() => [...group.coordinators].some(([id, { core }]) => id !== first && core.serving));
    group.rejoin(first);
    group.run(1_000);
    // The others step back until the first leads again.
    for (let tries = 0; group.leader() !== first; tries++) {
      expect(tries).toBeLessThan(50);
      const leading = group.leader();
      group.isolate(leading);
      group.until(() => group.at(leading).core.raft.role !== 'leader');
      group.leader();
      group.rejoin(leading);
      group.run(300);
    }
    group.run(12_000);
    expect(lost.outcome).toMatchObject({ error: {} });
    for (const { outcomes } of messages) expect(outcomes).toHaveLength(1);
    const answer = group.submit(first, [{}]);
    group.run(500);
    expect(codes(answer.outcomes)).toEqual(['accepted']);
  });
});

describe('a cluster', () => {
  it('of one coordinator works alone', () => {
    const group = cluster(['a']);
    const answer = group.submit('a', [{ event_type: 'go' }]);
    const read = group.query('a', { kind: 'workflows' });
    group.run(50);
    expect(codes(answer.outcomes)).toEqual(['accepted']);
    expect(read.outcome).toMatchObject({ result: { workflows: [{ id: 'w' }] } });
  });

  it('takes no message before it is bootstrapped', () => {
    const group = new TestCluster(nodeHost, ['a', 'b', 'c']);
    const [first] = group.voters;
    const answer = group.submit(first!, [{}]);
    group.leader();
    group.run(500);
    expect(codes(answer.outcomes)).toEqual(['accepted']);
    const { state } = group.at('a').core;
    expect(state.clusterId).toBe(group.at('b').core.state.clusterId);
    // Bootstrap comes first in the log of every cluster.
    expect(group.at('a').core.raft.log.entry(2).kind).toBe(1);
  });

  it('tells its status as the leader and as a follower see it', () => {
    const group = cluster();
    const leader = group.leader();
    const [near, far] = group.followers();
    group.addWorker('w1', ['log'], 4);
    group.run(300);
    group.isolate(far!);
    group.run(1_000);
    const seen = [leader, near!].map((id) => group.query(id, { kind: 'clusterStatus' }));
    group.run(100);
    const [byLeader, byFollower] = seen.map(({ outcome }) => (outcome as { result: Record<string, unknown> }).result);
    expect(byLeader).toMatchObject({
      cluster: 'test',
      leader,
      answered_by: leader,
      catalog_version: 1,
      workers: [{ id: 'w1', address: 'here', load: 0, status: 'alive', running: 0, capacity: 4, types: ['log'] }],
      counts: { messages: 0, instances_active: 0, tasks_ready: 0, tasks_running: 0 },
    });
    const states = (status: unknown) =>
      Object.fromEntries(
        (status as { coordinators: { id: string; state: string }[] }).coordinators.map(({ id, state }) => [id, state]),
      );
    expect(states(byLeader)).toEqual({ [leader]: 'leader', [near!]: 'follower', [far!]: 'unreachable' });
    expect(states(byFollower)).toEqual({ [leader]: 'leader', [near!]: 'follower', [far!]: 'unreachable' });
    const [lag] = (byLeader as { coordinators: { id: string; lag?: number }[] }).coordinators.filter(
      ({ id }) => id === far,
    );
    expect(lag!.lag).toBeGreaterThanOrEqual(0);
  });
});

describe('a read', () => {
  it.each(['leader', 'follower'])('on a %s sees every write that was answered before it', (where) => {
    const group = cluster();
    const id = where === 'leader' ? group.leader() : group.followers()[0]!;
    for (let round = 0; round < 5; round++) {
      const write = group.submit(group.followers()[1]!, [{ round }]);
      group.until(() => write.outcomes !== undefined);
      const { messageId } = (write.outcomes![0] as { accepted: { messageId: string } }).accepted;
      const read = group.query(id, { kind: 'message', id: messageId });
      group.until(() => read.outcome !== undefined, 1_000);
      expect(read.outcome).toMatchObject({ result: { message_id: messageId } });
    }
  });

  it('shares its round with all reads of the turn', () => {
    const group = cluster();
    const [follower] = group.followers();
    const reads = [1, 2, 3].map(() => group.query(follower!, { kind: 'rules' }));
    group.run(100);
    for (const { outcome } of reads) expect(outcome).toMatchObject({ result: { catalog_version: 1 } });
    expect(group.sent.filter(({ from, message }) => from === follower && message.kind === 'READ_INDEX')).toHaveLength(
      1,
    );
  });

  it('that a former leader refuses is not asked again at once, and answered by the next one', () => {
    const group = cluster();
    const leader = group.leader();
    const [follower] = group.followers();
    group.bufferFull = (_from, to, { kind }) => to === leader && kind === 'APPEND_ENTRIES_RESPONSE';
    group.until(() => !group.at(leader).core.serving);
    expect(group.at(follower!).core.leaderId).toBe(leader);
    const before = group.sent.length;
    const read = group.query(follower!, { kind: 'rules' });
    for (let n = 0; n < 50; n++) group.turn();
    const questions = group.sent.slice(before).filter(({ message }) => message.kind === 'READ_INDEX');
    expect(questions).toHaveLength(1);
    group.bufferFull = () => false;
    group.until(() => read.outcome !== undefined);
    expect(read.outcome).toMatchObject({ result: { catalog_version: 1 } });
  });

  it('of what does not exist is NOT_FOUND', () => {
    const group = cluster();
    const read = group.query(group.leader(), { kind: 'instance', id: 'nobody' });
    group.run(100);
    expect(read.outcome).toMatchObject({ error: { code: 'NOT_FOUND' } });
  });

  it('without a leader is refused in time; a stale one is answered at once', () => {
    const group = cluster();
    const [follower] = group.followers();
    group.isolate(follower!);
    group.run(1_000);
    const stale = group.query(follower!, { kind: 'rules' }, 'stale');
    const read = group.query(follower!, { kind: 'rules' });
    group.turn();
    expect(stale.outcome).toMatchObject({ result: { catalog_version: 1 } });
    group.run(READ_TIMEOUT_MS - 500);
    expect(read.outcome).toBeUndefined();
    group.run(1_000);
    expect(read.outcome).toMatchObject({ error: { code: 'NO_LEADER' } });
  });

  it('goes on to the next leader when the one it asked is lost', () => {
    const group = cluster();
    const leader = group.leader();
    const [follower] = group.followers();
    const reads = [group.query(follower!, { kind: 'rules' }), group.query(leader, { kind: 'rules' })];
    group.turn();
    group.isolate(leader);
    group.run(3_000);
    expect(reads[0]!.outcome).toMatchObject({ result: { catalog_version: 1 } });
    // The deposed leader could not confirm that it still leads, so it must not answer from its state.
    group.run(READ_TIMEOUT_MS);
    expect(reads[1]!.outcome).toMatchObject({ error: { code: 'NO_LEADER' } });
  });
});

describe('a leader that shuts down', () => {
  it('hands its leadership to the voter that has most of the log, without an election time-out', () => {
    const group = cluster();
    const leader = group.leader();
    const [behind, close] = group.followers();
    group.bufferFull = (_from, to, { kind }) => to === behind && kind === 'APPEND_ENTRIES';
    const write = group.submit(leader, [{}]);
    group.until(() => write.outcomes !== undefined, 200);
    expect(group.at(leader).core.handOver()).toBe(true);
    group.until(() => group.at(close!).core.serving, 200);
    expect(group.at(leader).core.leaderId).toBe(close);
    group.bufferFull = () => false;
    const later = group.submit(leader, [{}]);
    group.until(() => later.outcomes !== undefined, 500);
    expect(later.outcomes).toMatchObject([{ accepted: {} }]);
  });

  it('keeps it when nobody is there to take it, and has none when it only follows', () => {
    const group = cluster();
    const leader = group.leader();
    for (const id of group.followers()) expect(group.at(id).core.handOver()).toBe(false);
    const alone = new TestCluster(nodeHost, ['a']);
    expect(alone.at(alone.leader()).core.handOver()).toBe(false);
    expect(group.leader()).toBe(leader);
  });
});
