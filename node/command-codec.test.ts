import { describe, expect, it } from '@jest/globals';
import type { Actor } from '../api/access.ts';
import { encodeCommand } from './command-codec.ts';
import { COMMAND } from './core/state/commands.ts';
import { nodeHost } from './io/host.ts';
import { commandFault } from './proposals.ts';
import type { Command } from './requests.ts';

const actor: Actor = { kind: 'key', id: 'k1', name: 'ci', role: 'admin' };
const hash = 'a'.repeat(64);
const rule = { id: 'r', version: 1, priority: 1, enabled: true } as unknown as Extract<
  Command,
  { kind: 'putRule' }
>['rule'];

/** One of each kind: a new kind without a line here does not compile. */
const COMMANDS: { readonly [K in Command['kind']]: Extract<Command, { kind: K }> } = {
  putRule: { kind: 'putRule', rule, mode: 'upsert' },
  deleteRule: { kind: 'deleteRule', id: 'r' },
  putWorkflow: { kind: 'putWorkflow', workflow: { id: 'w', version: '1', tasks: [] }, mode: 'upsert' },
  deleteWorkflow: { kind: 'deleteWorkflow', id: 'w' },
  cancelInstance: { kind: 'cancelInstance', id: 'i' },
  createKey: { kind: 'createKey', id: 'k', name: 'ci', role: 'submitter', hash },
  rotateKey: { kind: 'rotateKey', id: 'k', hash, overlapMs: 0 },
  note: { kind: 'note', action: 'node.join', target: 'worker/w', outcome: 'ok' },
  revokeKey: { kind: 'revokeKey', id: 'k' },
  orderDrain: { kind: 'orderDrain', workerId: 'w', graceMs: 0 },
  endDrain: { kind: 'endDrain', workerId: 'w' },
  noteBackup: { kind: 'noteBackup' },
  changeMembers: { kind: 'changeMembers', change: { kind: 'promote', ids: ['c2', 'c3'] } },
  foundCluster: { kind: 'foundCluster', clusterId: 'c', dataUuid: 'd', address: 'a:1', minVotersForWrites: 3 },
  transferLeadership: { kind: 'transferLeadership', target: 'c2' },
};

describe('encodeCommand', () => {
  it.each(Object.values(COMMANDS))('makes of $kind what a leader appends', (command) => {
    const { kind, bytes } = encodeCommand(nodeHost, command, actor);
    expect(kind).toBe(COMMAND[command.kind]);
    expect(commandFault(kind, bytes)).toBeUndefined();
  });
});

describe('commandFault', () => {
  it('lets a coordinator put on record which keys were used', () => {
    expect(commandFault(COMMAND.touchKeys, new Uint8Array(8))).toBeUndefined();
  });

  it.each(['bootstrap', 'assign', 'results', 'advanceTime', 'registerWorker', 'refound'] as const)(
    'leaves %s to the leader',
    (kind) => {
      expect(commandFault(COMMAND[kind], new Uint8Array(8))).toMatchObject({ errorCode: 'INVALID_REQUEST' });
    },
  );
});
