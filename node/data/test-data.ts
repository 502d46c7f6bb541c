/** Real data directories for tests, as a coordinator leaves them: with a log that goes further than its state. */
import { mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { encodeEntry, type Entry } from '../core/raft/entry.ts';
import { encodeMembership, membershipOf, MEMBERSHIP_KIND } from '../core/raft/membership.ts';
import { Bootstrap, COMMAND } from '../core/state/commands.ts';
import { TestReplica, WALL_OFFSET_MS, ruleOf, workflowOf } from '../core/state/test-replica.ts';
import { nodeHost } from '../io/host.ts';
import { Environment } from '../io/lmdb/environment.ts';
import { LogStore } from '../io/lmdb/log-store.ts';
import { StateStore } from '../io/lmdb/state-store.ts';
import { takeBackup } from './take-backup.ts';

const MAP_BYTES = 64 * 1024 * 1024;
export const TEST_TERM = 4;
export const TEST_CLUSTER_ID = 'old-cluster';

/** A cluster of c1, c2 and c3 with a rule, a workflow and a worker; messages m1, m2, … each start one instance. */
export function exampleReplica(messages: number): TestReplica {
  const replica = new TestReplica(nodeHost);
  replica.apply(COMMAND.bootstrap, Bootstrap, { clusterId: TEST_CLUSTER_ID, clusterName: 'shop' });
  const payload = encodeMembership(nodeHost, membershipOf(['c1', 'c2', 'c3']));
  replica.applyBytes({ kind: MEMBERSHIP_KIND, payload, timeMs: replica.timeMs });
  replica.putWorkflow(workflowOf('w', [{ id: 't', type: 'work' }]));
  replica.putRule(ruleOf('r', ['w']));
  replica.register('worker-1', 's1', ['work']);
  for (let i = 1; i <= messages; i++) {
    replica.send([
      { id: `m${String(i)}`, body: `{"n":${String(i)}}`, rules: ['r@1'], key: `default/key-${String(i)}` },
    ]);
    replica.assign({ instanceId: `m${String(i)}-1`, taskId: 't', workerId: 'worker-1', session: 's1' });
    if (i % 2 === 0) replica.report(`m${String(i)}-1`, 't', replica.machine.appliedIndex, 'ok', '{"done":true}');
  }
  return replica;
}

/** The commands of a replica as a chained log. */
export function entriesOf(replica: TestReplica): Entry[] {
  const entries: Entry[] = [];
  for (const { kind, payload, timeMs } of replica.history) {
    const previousChecksum = entries.at(-1)?.checksum ?? 0;
    const index = entries.length + 1;
    const head = { term: TEST_TERM, index, timeMs, wallMs: WALL_OFFSET_MS + timeMs, kind, previousChecksum };
    entries.push(encodeEntry(nodeHost, head, payload));
  }
  return entries;
}

/** Of `exampleReplica(5)`, with the last message in the log only. */
export async function writeExample(dir: string, { missing = [] }: { missing?: readonly number[] } = {}): Promise<void> {
  const entries = entriesOf(exampleReplica(5));
  await writeData(dir, entries, entries.length - 2);
  if (missing.length === 0) return;
  const environment = await Environment.open(join(dir, 'log'), {
    kind: 'log',
    mapBytesMax: MAP_BYTES,
    writeDeadlineMs: 10_000,
  });
  await environment.write((db) => {
    for (const index of missing) void db.remove(index);
  }, 0);
  await environment.close();
}

/** A backup of `exampleReplica(5)`; `room` is a directory to work in. */
export async function testBackup(room: string, clusterId = TEST_CLUSTER_ID): Promise<Buffer> {
  const dir = mkdtempSync(join(room, 'backed-up-'));
  const entries = entriesOf(exampleReplica(5));
  await writeData(dir, entries, entries.length);
  const state = await StateStore.open(join(dir, 'state'), { mapBytesMax: MAP_BYTES });
  const facts = { clusterId, clusterName: 'shop', term: TEST_TERM, bornWith: [] };
  const taken = await takeBackup(state, join(dir, 'snapshots'), 'backup', facts);
  assert(taken !== undefined, 'there is a state');
  const parts: Uint8Array[] = [];
  for await (const part of taken.stream) parts.push(part);
  await taken.drop();
  await state.close();
  assert(readdirSync(join(dir, 'snapshots')).length === 0, 'the copy of the state is gone');
  return Buffer.concat(parts);
}

/** Log and state of a coordinator that has `entries`, and has committed its state at `appliedIndex`. */
export async function writeData(dir: string, entries: readonly Entry[], appliedIndex: number): Promise<void> {
  const log = await LogStore.open(join(dir, 'log'), { mapBytesMax: MAP_BYTES, queueBytesMax: MAP_BYTES });
  await log.persist({ hardState: { term: TEST_TERM, votedFor: 'c1' }, entries });
  await log.close();
  const state = await StateStore.open(join(dir, 'state'), { mapBytesMax: MAP_BYTES });
  const replica = new TestReplica(nodeHost);
  for (const entry of entries.slice(0, appliedIndex)) replica.machine.apply(entry);
  await state.commit(replica.machine.takeWrites());
  await state.close();
}
