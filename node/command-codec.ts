/** Administrative commands as entries of the log, with the actor they are made for. */
import type { Actor } from '../api/access.ts';
import type { Host } from '../base/host.ts';
import {
  CancelInstance,
  ChangeMembers,
  COMMAND,
  CreateKey,
  DeleteDocument,
  EndDrain,
  FoundCluster,
  NoteBackup,
  Note,
  OrderDrain,
  PutDocument,
  RevokeKey,
  RotateKey,
  TransferLeadership,
} from './core/state/commands.ts';
import { encode } from './core/tlv/struct.ts';
import type { Command } from './requests.ts';

export function encodeCommand(host: Host, command: Command, actor: Actor): { kind: number; bytes: Uint8Array } {
  switch (command.kind) {
    case 'putRule': {
      const body = { mode: command.mode, document: JSON.stringify(command.rule), actor, ...forceOf(command) };
      return { kind: COMMAND.putRule, bytes: encode(host, PutDocument, body) };
    }
    case 'putWorkflow': {
      const body = { mode: command.mode, document: JSON.stringify(command.workflow), actor, ...forceOf(command) };
      return { kind: COMMAND.putWorkflow, bytes: encode(host, PutDocument, body) };
    }
    case 'deleteRule':
    case 'deleteWorkflow': {
      const body = { id: command.id, actor, ...forceOf(command) };
      return { kind: COMMAND[command.kind], bytes: encode(host, DeleteDocument, body) };
    }
    case 'cancelInstance':
      return { kind: COMMAND.cancelInstance, bytes: encode(host, CancelInstance, { id: command.id, actor }) };
    case 'noteBackup':
      return { kind: COMMAND.noteBackup, bytes: encode(host, NoteBackup, { actor }) };
    case 'createKey': {
      const { kind, ...body } = command;
      return { kind: COMMAND[kind], bytes: encode(host, CreateKey, { ...body, actor }) };
    }
    case 'revokeKey':
      return { kind: COMMAND.revokeKey, bytes: encode(host, RevokeKey, { id: command.id, actor }) };
    case 'note': {
      const { kind, ...body } = command;
      return { kind: COMMAND[kind], bytes: encode(host, Note, { ...body, actor }) };
    }
    case 'rotateKey': {
      const { kind, ...body } = command;
      return { kind: COMMAND[kind], bytes: encode(host, RotateKey, { ...body, actor }) };
    }
    case 'orderDrain': {
      const { kind, ...body } = command;
      return { kind: COMMAND[kind], bytes: encode(host, OrderDrain, { ...body, actor }) };
    }
    case 'endDrain':
      return { kind: COMMAND.endDrain, bytes: encode(host, EndDrain, { workerId: command.workerId, actor }) };
    case 'changeMembers': {
      const body = { change: JSON.stringify(command.change), actor };
      return { kind: COMMAND.changeMembers, bytes: encode(host, ChangeMembers, body) };
    }
    case 'foundCluster': {
      const { kind, ...body } = command;
      return { kind: COMMAND[kind], bytes: encode(host, FoundCluster, { ...body, actor }) };
    }
    case 'transferLeadership': {
      const body = { target: command.target, actor };
      return { kind: COMMAND.transferLeadership, bytes: encode(host, TransferLeadership, body) };
    }
  }
}

function forceOf({ force = false }: { force?: boolean }): { force?: boolean } {
  return force ? { force } : {};
}
