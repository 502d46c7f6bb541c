/**
 * What clients of the binary protocol may ask, put to the gateway: the counterpart of the REST resources.
 * Who a client is, is looked at again once in a while: a key that is revoked ends its use, not only new connections.
 */
import { type Actor, actorOf, ANONYMOUS, mayDo, type Permission, rolesWith } from '../api/access.ts';
import type { Identity } from '../api/identity.ts';
import { assert } from '../base/assert.ts';
import { DistricError } from '../base/errors.ts';
import { encodeText, type Host } from '../base/host.ts';
import type { AccessLimits } from './access-limits.ts';
import { checkSource, readItem } from './client-items.ts';
import { changeOf, consistencyOf, parseCommand, parseQuery } from './client-requests.ts';
import { errorBody } from './core/rpc/error-body.ts';
import type { Body, Message } from './core/tlv/messages.ts';
import { scopeOf } from './idempotency-scope.ts';
import type { Identified } from './key-ring.ts';
import type { Now } from './ports.ts';
import type { RefusalNotes } from './refusal-notes.ts';
import type { Command, Gateway, IncomingItem, ItemOutcome } from './requests.ts';

/** Messages in one call: their outcomes fit in one frame, whatever they start. */
export const CALL_ITEMS_MAX = 1_000;
const IDENTIFIED_MS = 1_000;

type Answer = { message: Message } | { error: DistricError };

interface Call {
  readonly message: Message;
  readonly done: (answer: Answer) => void;
}

export interface ClientSession {
  readonly authorization: string | undefined;
  readonly identity: Identity | undefined;
  identified: Identified;
  identifiedMs: number;
}

export interface ClientDeskParts {
  host: Host;
  gateway: Gateway;
  clock: () => Now;
  itemBytesMax: number;
  /** Undefined: everybody may do everything, as with `auth.mode` disabled. */
  identify: ((keyText: string | undefined, wallMs: number) => Identified) | undefined;
  limits: AccessLimits;
  refusals: RefusalNotes;
  authFailed: (reason: string) => void;
}

export class ClientDesk {
  readonly #parts: ClientDeskParts;

  constructor(parts: ClientDeskParts) {
    this.#parts = parts;
  }

  /** `identity` is what its certificate proved, where it has one: it counts when there is no key, as over REST. */
  open(
    { authorization }: Body<'HELLO'>,
    identity: Identity | undefined,
    address: string,
  ): { session: ClientSession } | { error: DistricError } {
    const { wallMs, monotonicMs } = this.#parts.clock();
    const identified = this.#identify(authorization, identity, wallMs);
    if ('failure' in identified) {
      const error = this.#unauthenticated(identified.failure);
      // As over REST: a good key is looked at first, and never kept out by this.
      const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
      const { allowed } = this.#parts.limits.failed(host, monotonicMs);
      return { error: allowed ? error : new DistricError('RATE_LIMITED', 'too many tries without a good key') };
    }
    return { session: { authorization, identity, identified, identifiedMs: monotonicMs } };
  }

  closed(_session: ClientSession): void {
    // Nothing is kept of a client but what it was told.
  }

  /** Answers once, later or at once. */
  call(session: ClientSession, call: Call): void {
    try {
      const actor = this.#admit(session);
      this.#dispatch(actor, call);
    } catch (error) {
      if (!(error instanceof DistricError)) throw error;
      call.done({ error });
    }
  }

  #dispatch(actor: Actor, { message, done }: Call): void {
    if (message.kind === 'CLIENT_MESSAGE') {
      this.#allow(actor, 'submit');
      this.#submit(actor, message.body, done);
    } else if (message.kind === 'CLIENT_QUERY') {
      const { query, permission } = parseQuery(message.body.query);
      this.#allow(actor, permission);
      this.#parts.gateway.query(query, consistencyOf(message.body.consistency), (outcome) => {
        done('error' in outcome ? outcome : this.#result(outcome.result, outcome.appliedIndex));
      });
    } else if (message.kind === 'CLIENT_ADMIN') {
      this.#parts.gateway.command(this.#permitted(actor, message.body.command), actor, (outcome) => {
        done('error' in outcome ? outcome : this.#result(outcome.result));
      });
    } else throw new DistricError('INVALID_REQUEST', `${message.kind} is not for clients`);
  }

  /** A refusal goes on record. */
  #permitted(actor: Actor, command: string): Command {
    try {
      this.#allow(actor, 'operate');
      return parseCommand(command);
    } catch (error) {
      if (error instanceof DistricError) {
        this.#parts.refusals.note(actor, changeOf(command), error, this.#parts.clock().monotonicMs);
      }
      throw error;
    }
  }

  // ---- who ---------------------------------------------------------------------------------------------------------

  #identify(authorization: string | undefined, identity: Identity | undefined, wallMs: number): Identified {
    const { identify } = this.#parts;
    if (identify === undefined) return { actor: ANONYMOUS, rateLimit: 0 };
    const actor = authorization === undefined && identity !== undefined ? actorOf(identity) : undefined;
    return actor === undefined ? identify(authorization, wallMs) : { actor, rateLimit: null };
  }

  #admit(session: ClientSession): Actor {
    const { monotonicMs, wallMs } = this.#parts.clock();
    if (monotonicMs - session.identifiedMs >= IDENTIFIED_MS) {
      session.identified = this.#identify(session.authorization, session.identity, wallMs);
      session.identifiedMs = monotonicMs;
    }
    const { identified } = session;
    if ('failure' in identified) throw this.#unauthenticated(identified.failure);
    const { actor, rateLimit } = identified;
    const taken = this.#parts.limits.take(actor, rateLimit, monotonicMs);
    if (taken?.state.allowed === false) {
      throw new DistricError('RATE_LIMITED', `this key may make ${taken.rate} calls a second at this coordinator`);
    }
    return actor;
  }

  #allow(actor: Actor, permission: Permission): void {
    if (mayDo(actor.role, permission)) return;
    this.#parts.authFailed('forbidden');
    const needed = rolesWith(permission).join(' or ');
    throw new DistricError('FORBIDDEN', `this needs the role ${needed}; the key has ${actor.role}`);
  }

  #unauthenticated(failure: string): DistricError {
    this.#parts.authFailed(failure);
    return new DistricError('UNAUTHENTICATED', `this cluster wants a key, and the one given is ${failure}`);
  }

  // ---- messages ------------------------------------------------------------------------------------------------------

  #submit(actor: Actor, { source, items }: Body<'CLIENT_MESSAGE'>, done: Call['done']): void {
    const { host, itemBytesMax, gateway, clock } = this.#parts;
    const { wallMs } = clock();
    if (items.length === 0 || items.length > CALL_ITEMS_MAX) {
      throw new DistricError('INVALID_REQUEST', `a call has 1 to ${CALL_ITEMS_MAX} messages, not ${items.length}`);
    }
    checkSource(source);
    const accepted: IncomingItem[] = [];
    const refused = new Map<number, DistricError>();
    items.forEach((item, index) => {
      try {
        accepted.push(readItem(host, item, source, itemBytesMax, wallMs));
      } catch (error) {
        if (!(error instanceof DistricError)) throw error;
        refused.set(index, error);
      }
    });
    if (accepted.length === 0) {
      done({ message: responseOf([], refused, items.length) });
      return;
    }
    gateway.submit(accepted, scopeOf(actor, source), (outcomes) => {
      done({ message: responseOf(outcomes, refused, items.length) });
    });
  }

  #result(result: unknown, appliedIndex?: number): Answer {
    const bytes = encodeText(this.#parts.host, JSON.stringify(result ?? null));
    const body = { result: bytes, ...(appliedIndex === undefined ? {} : { appliedIndex }) };
    return { message: { kind: 'CLIENT_RESULT', body } };
  }
}

function responseOf(
  outcomes: readonly ItemOutcome[],
  refusedEarly: ReadonlyMap<number, DistricError>,
  total: number,
): Message {
  assert(outcomes.length + refusedEarly.size === total, 'each item has one outcome');
  const messageIds: string[] = [];
  const started: { index: number; workflows: string[]; instances: string[] }[] = [];
  const duplicates: number[] = [];
  const refused: { index: number; error: Body<'RPC_ERROR'> }[] = [];
  let next = 0;
  for (let index = 0; index < total; index++) {
    const early = refusedEarly.get(index);
    const outcome = early === undefined ? outcomes[next++] : { error: early };
    assert(outcome !== undefined, 'each item has one outcome');
    if ('error' in outcome) {
      messageIds.push('');
      refused.push({ index, error: errorBody(outcome.error) });
      continue;
    }
    const { messageId, workflowsTriggered, instances, duplicate } = outcome.accepted;
    messageIds.push(messageId);
    if (instances.length > 0) started.push({ index, workflows: workflowsTriggered, instances });
    if (duplicate) duplicates.push(index);
  }
  return { kind: 'CLIENT_RESPONSE', body: { messageIds, started, duplicates, refused } };
}
