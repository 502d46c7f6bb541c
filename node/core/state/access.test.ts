import { describe, expect, it } from '@jest/globals';
import type { AuditList, KeyResource } from '../../../api/rest.ts';
import { nodeHost } from '../../io/host.ts';
import { AUDIT_DOCUMENT_BYTES_MAX, AUDIT_ROWS_MAX } from './audit-log.ts';
import { KEYS_MAX } from './access-table.ts';
import {
  CancelInstance,
  COMMAND,
  CreateKey,
  DeleteDocument,
  Note,
  PutDocument,
  RevokeKey,
  RotateKey,
  TouchKeys,
} from './commands.ts';
import { ruleOf, TestReplica, WALL_OFFSET_MS, workflowOf } from './test-replica.ts';
import { Views } from './views.ts';

const ACTOR = { kind: 'key', id: 'k0', name: 'ops', role: 'admin' };
const HASH = 'a'.repeat(64);

function create(replica: TestReplica, id: string, more: Partial<{ expiresAt: number; rateLimit: number }> = {}) {
  return replica.apply(COMMAND.createKey, CreateKey, {
    id,
    name: `name of ${id}`,
    role: 'operator',
    hash: HASH,
    actor: ACTOR,
    ...more,
  }).result;
}

function revoke(replica: TestReplica, id: string) {
  return replica.apply(COMMAND.revokeKey, RevokeKey, { id, actor: ACTOR }).result;
}

function rotate(replica: TestReplica, id: string, hash: string, overlapMs: number) {
  return replica.apply(COMMAND.rotateKey, RotateKey, { id, hash, overlapMs, actor: ACTOR }).result;
}

function audit(replica: TestReplica, filter: { actor?: string; action?: string } = {}, limit = 100, cursor?: string) {
  const page = { limit, ...(cursor === undefined ? {} : { cursor }) };
  return new Views(replica.host, replica.machine).answer({ kind: 'audit', page, ...filter }) as AuditList;
}

function wallMs(replica: TestReplica): number {
  return WALL_OFFSET_MS + replica.timeMs;
}

describe('keys', () => {
  it('are made, shown without any hash, listed by age, and refused twice', () => {
    const replica = new TestReplica(nodeHost);
    const made = create(replica, 'k1', { expiresAt: WALL_OFFSET_MS + 5_000_000, rateLimit: 7 });
    expect(made.resource).not.toContain(HASH);
    expect(JSON.parse(made.resource ?? '')).toMatchObject({
      id: 'k1',
      role: 'operator',
      rate_limit: 7,
      revoked_at: null,
    });
    replica.timeMs += 10;
    create(replica, 'a');
    const views = new Views(replica.host, replica.machine);
    const { keys } = views.answer({ kind: 'keys' }) as { keys: KeyResource[] };
    expect(keys.map(({ id }) => id)).toEqual(['k1', 'a']);
    expect(JSON.stringify(keys)).not.toContain(HASH);
    expect(views.answer({ kind: 'key', id: 'a' })).toMatchObject({ expires_at: null, rate_limit: null });
    expect(create(replica, 'a').errorCode).toBe('ALREADY_EXISTS');
    expect(revoke(replica, 'none').errorCode).toBe('NOT_FOUND');
  });

  it('stay revoked from the first time on, and are not rotated then', () => {
    const replica = new TestReplica(nodeHost);
    create(replica, 'k1');
    revoke(replica, 'k1');
    const firstMs = wallMs(replica);
    replica.timeMs += 1_000;
    revoke(replica, 'k1');
    expect(replica.machine.access.get('k1').revokedAt).toBe(firstMs);
    expect(rotate(replica, 'k1', 'b'.repeat(64), 1_000).errorCode).toBe('IN_USE');
  });

  it('keep the secret before for the overlap, the one before that not at all', () => {
    const replica = new TestReplica(nodeHost);
    create(replica, 'k1');
    rotate(replica, 'k1', 'b'.repeat(64), 60_000);
    const record = replica.machine.access.get('k1');
    expect(record).toMatchObject({ hash: 'b'.repeat(64), previousHash: HASH, previousUntil: wallMs(replica) + 60_000 });
    rotate(replica, 'k1', 'c'.repeat(64), 0);
    expect(replica.machine.access.get('k1')).toMatchObject({
      hash: 'c'.repeat(64),
      previousHash: null,
      previousUntil: null,
    });
  });

  it('raise the version when they decide anew who gets in, not when they are used', () => {
    const replica = new TestReplica(nodeHost);
    create(replica, 'k1');
    const { version } = replica.machine.access;
    replica.apply(COMMAND.touchKeys, TouchKeys, { ids: ['k1', 'gone'], at: 5_000 });
    replica.apply(COMMAND.touchKeys, TouchKeys, { ids: ['k1'], at: 4_000 });
    expect(replica.machine.access.get('k1').lastUsedAt).toBe(5_000);
    expect(replica.machine.access.version).toBe(version);
    revoke(replica, 'k1');
    expect(replica.machine.access.version).toBe(version + 1);
  });

  it('make room for new ones by those that are dead, the oldest first', () => {
    const replica = new TestReplica(nodeHost);
    for (let i = 0; i < KEYS_MAX; i++) create(replica, `k${i}`, i === 3 ? { expiresAt: wallMs(replica) + 1 } : {});
    expect(create(replica, 'late').errorCode).toBe('INVALID_DOCUMENT');
    replica.timeMs += 10;
    revoke(replica, 'k9');
    expect(create(replica, 'late').errorCode).toBeUndefined();
    expect(replica.machine.access.keys.has('k3')).toBe(false);
    expect(create(replica, 'later').errorCode).toBeUndefined();
    expect(replica.machine.access.keys.has('k9')).toBe(false);
    expect(create(replica, 'latest').errorCode).toBe('INVALID_DOCUMENT');
  });
});

describe('the audit log', () => {
  it('says who did what, with the state before and after', () => {
    const replica = new TestReplica(nodeHost);
    replica.putWorkflow(workflowOf('w', [{ id: 'a', type: 't' }]));
    const put = (priority: number) =>
      replica.apply(COMMAND.putRule, PutDocument, {
        mode: 'upsert',
        document: JSON.stringify(ruleOf('r', ['w'], { priority })),
        actor: ACTOR,
      });
    put(1);
    put(2);
    replica.apply(COMMAND.deleteWorkflow, DeleteDocument, { id: 'w', actor: ACTOR });
    replica.send([{ id: 'm', rules: ['r@1'] }]);
    replica.apply(COMMAND.cancelInstance, CancelInstance, { id: 'm-1', actor: ACTOR });
    replica.apply(COMMAND.deleteRule, DeleteDocument, { id: 'r', actor: { ...ACTOR, id: 'k2', name: 'other' } });
    const { entries } = audit(replica);
    expect(entries).toMatchObject([
      { action: 'rule.delete', target: 'rule/r', actor: { id: 'k2' }, before: { priority: 2 }, after: null },
      {
        action: 'instance.cancel',
        target: 'instance/m-1',
        before: { status: 'RUNNING' },
        after: { status: 'CANCELLED' },
      },
      { action: 'workflow.delete', outcome: 'IN_USE', before: null, after: null },
      { action: 'rule.put', outcome: 'ok', before: { priority: 1 }, after: { priority: 2, revision: 2 } },
      { action: 'rule.put', outcome: 'ok', before: null, after: { priority: 1 }, actor: ACTOR, at: expect.any(String) },
    ]);
    expect(audit(replica, { actor: 'other' }).entries).toHaveLength(1);
    expect(audit(replica, { action: 'rule.put' }).entries).toHaveLength(2);
    expect(audit(replica, { actor: 'k0', action: 'rule.delete' }).entries).toEqual([]);
  });

  it('takes in a row that changes nothing else', () => {
    const replica = new TestReplica(nodeHost);
    const before = replica.machine.catalog.version;
    replica.apply(COMMAND.note, Note, { action: 'node.join', target: 'worker/w1', outcome: 'ok', actor: ACTOR });
    expect(audit(replica).entries).toMatchObject([
      { action: 'node.join', target: 'worker/w1', outcome: 'ok', actor: ACTOR, before: null, after: null },
    ]);
    expect(replica.machine.catalog.version).toBe(before);
  });

  it('has no hash of a secret in it', () => {
    const replica = new TestReplica(nodeHost);
    create(replica, 'k1');
    rotate(replica, 'k1', 'b'.repeat(64), 60_000);
    revoke(replica, 'k1');
    const { entries } = audit(replica);
    expect(entries.map(({ action }) => action)).toEqual(['key.revoke', 'key.rotate', 'key.create']);
    expect(JSON.stringify(entries)).not.toMatch(/a{64}|b{64}/);
  });

  it('pages from the newest to the oldest', () => {
    const replica = new TestReplica(nodeHost);
    for (let i = 0; i < 5; i++) create(replica, `k${i}`);
    const targets: string[] = [];
    let cursor: string | undefined;
    do {
      const page = audit(replica, {}, 2, cursor);
      targets.push(...page.entries.map(({ target }) => target));
      cursor = page.next_cursor;
    } while (cursor !== undefined);
    expect(targets).toEqual(['key/k4', 'key/k3', 'key/k2', 'key/k1', 'key/k0']);
  });

  it('cuts what is too large and says so', () => {
    const replica = new TestReplica(nodeHost);
    const big = workflowOf('w', [{ id: 'a', type: 't', config: { text: 'é'.repeat(AUDIT_DOCUMENT_BYTES_MAX) } }]);
    const body = { mode: 'create', document: JSON.stringify(big), actor: ACTOR };
    replica.apply(COMMAND.putWorkflow, PutDocument, body);
    const [row] = audit(replica).entries;
    expect(row?.after).toMatchObject({ cut: true, start: expect.stringContaining('"id":"w"') });
    expect(JSON.stringify(row).length).toBeLessThan(AUDIT_DOCUMENT_BYTES_MAX);
  });

  it('is bounded: the oldest row goes', () => {
    const replica = new TestReplica(nodeHost);
    for (let i = 0; i < AUDIT_ROWS_MAX + 3; i++) revoke(replica, 'none');
    const keys = [...replica.machine.reader.range('u/', 'u0')].map(({ key }) => key);
    expect(keys).toHaveLength(AUDIT_ROWS_MAX);
    expect(Number(keys[0]?.slice(2))).toBe(4);
  });

  it('is left alone by entries of a release without actors', () => {
    const replica = new TestReplica(nodeHost);
    replica.putWorkflow(workflowOf('w', [{ id: 'a', type: 't' }]));
    replica.deleteWorkflow('w');
    expect(audit(replica).entries).toEqual([]);
  });
});

it('a restart at any point gives the same keys, audit log and hash', () => {
  const whole = new TestReplica(nodeHost);
  const steps = [
    (replica: TestReplica) => create(replica, 'k1'),
    (replica: TestReplica) => rotate(replica, 'k1', 'b'.repeat(64), 60_000),
    (replica: TestReplica) => replica.apply(COMMAND.touchKeys, TouchKeys, { ids: ['k1'], at: 77 }).result,
    (replica: TestReplica) => create(replica, 'k2'),
    (replica: TestReplica) => revoke(replica, 'k1'),
    (replica: TestReplica) => revoke(replica, 'none'),
  ];
  for (const step of steps) step(whole);
  for (let at = 0; at <= steps.length; at++) {
    let replica = new TestReplica(nodeHost);
    steps.slice(0, at).forEach((step) => step(replica));
    replica.commit();
    replica = replica.reopened();
    steps.slice(at).forEach((step) => step(replica));
    expect(replica.machine.hash).toBe(whole.machine.hash);
    expect([...replica.machine.access.keys]).toEqual([...whole.machine.access.keys]);
    expect(replica.machine.audit.count).toBe(whole.machine.audit.count);
    expect(audit(replica)).toEqual(audit(whole));
  }
});
