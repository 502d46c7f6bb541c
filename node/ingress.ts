/**
 * The ingress: messages are matched against this node's copy of the catalog and sent to the core in batches; what the
 * core could not take (no leader, an older catalog) is sent again until it is, or until the deadline.
 * Talks to the core only by the messages of ports.ts, so it can run on a thread of its own.
 *
 * Invariants
 * 1. Each `done` is called exactly once.
 * 2. "Refused" is answered only when no attempt can have been kept; else the outcome is unknown (504).
 * 3. A batch that is sent again carries the same message ids: the state keeps each id once.
 */
import type { Actor } from '../api/access.ts';
import { parseMessage } from '../api/message.ts';
import { type Rule } from '../api/rule.ts';
import { assert } from '../base/assert.ts';
import { DistricError } from '../base/errors.ts';
import { decodeText, type Host } from '../base/host.ts';
import type { Random } from '../base/random.ts';
import { encodeCommand } from './command-codec.ts';
import { compileRules, type RuleSet } from './core/rules/rule-set.ts';
import { COMMAND, MessageBatch, MessageItem, TouchKeys } from './core/state/commands.ts';
import { errorOf, type ItemResult, type ProposalResult } from './core/state/outcomes.ts';
import { encode } from './core/tlv/struct.ts';
import type { CoordinatorMetrics } from './metrics.ts';
import type { Input, Now, Reply } from './ports.ts';
import type { Query } from './core/state/query.ts';
import type {
  Command,
  CommandOutcome,
  Consistency,
  Gateway,
  IncomingItem,
  ItemOutcome,
  QueryOutcome,
} from './requests.ts';
import { UuidSource } from '../base/uuid.ts';

/**
 * Bytes and messages of one batch: an entry of the log stays below 1 MiB unless a single message is larger. Bytes as
 * encoded: headers and the names of matched rules may outweigh the payloads by far.
 */
export const BATCH_BYTES_MAX = 512 * 1024;
export const BATCH_ITEMS_MAX = 4_096;
/** Instances that a batch starts, unless a single message starts more: the answer names each and must fit a frame. */
export const BATCH_INSTANCES_MAX = 4_096;
/** The same for instances and tasks: all of them are written by one entry, on every coordinator. */
export const BATCH_ROWS_MAX = 20_000;
/** Messages taken in and not yet answered. */
export const UNANSWERED_ITEMS_MAX = 200_000;
export const UNANSWERED_BYTES_MAX = 256 * 1024 * 1024;
/** A message that could not be committed by then is answered 503 or 504. */
export const SUBMIT_DEADLINE_MS = 10_000;
/** Between two tries of a batch that was refused for now. */
export const RETRY_MS = 20;

const RETRIED = new Set(['NO_LEADER', 'BOOTSTRAPPING', 'CATALOG_STALE']);
const NO_INSTANCES: string[] = [];
const NO_RULES: readonly Rule[] = [];

interface Request {
  outcomes: (ItemOutcome | undefined)[];
  missing: number;
  done: (outcomes: readonly ItemOutcome[]) => void;
}

interface QueuedItem {
  request: Request;
  position: number;
  id: string;
  receivedAt: number;
  incoming: IncomingItem;
  scope: string;
  deadlineMs: number;
}

interface Batch {
  items: QueuedItem[];
  maybeKept: boolean;
}

interface PendingCommand {
  commandKind: number;
  command: Uint8Array;
  done: (outcome: CommandOutcome) => void;
  deadlineMs: number;
}

export interface IngressParts {
  host: Host;
  random: Random;
  metrics: CoordinatorMetrics;
  toCore: (input: Input) => void;
  clock: () => Now;
}

export class Ingress implements Gateway {
  readonly #parts: IngressParts;
  readonly #ids: UuidSource;
  #rules: RuleSet = compileRules([]);
  /** -1 until the core has told the catalog: nothing is evaluated before. */
  #catalogVersion = -1;
  #rows: ReadonlyMap<string, number> = new Map();
  #queue: QueuedItem[] = [];
  #unansweredItems = 0;
  #unansweredBytes = 0;
  #requestId = 0;
  #batches = new Map<number, Batch>();
  #commands = new Map<number, PendingCommand>();
  #queries = new Map<number, (outcome: QueryOutcome) => void>();
  #retries: { dueMs: number; batch?: Batch; command?: PendingCommand; why: DistricError }[] = [];
  #closed = false;

  constructor(parts: IngressParts) {
    this.#parts = parts;
    this.#ids = new UuidSource(parts.random);
  }

  /** Requests taken in and not yet answered. */
  get unanswered(): number {
    return this.#unansweredItems + this.#commands.size + this.#queries.size;
  }

  // ---- Gateway -------------------------------------------------------------------------------------------------------

  submit(items: readonly IncomingItem[], scope: string, done: (outcomes: readonly ItemOutcome[]) => void): void {
    this.#parts.metrics.messagesReceived(items.length);
    const refusal = this.#refusalOf(items.length);
    if (refusal !== undefined) {
      this.#parts.metrics.messagesRefused(refusal.code, items.length);
      done(items.map(() => ({ error: refusal })));
      return;
    }
    const now = this.#parts.clock();
    const request: Request = { outcomes: new Array<undefined>(items.length), missing: items.length, done };
    if (items.length === 0) {
      done([]);
      return;
    }
    this.#unansweredItems += items.length;
    items.forEach((incoming, position) => {
      this.#unansweredBytes += incoming.payload.length;
      this.#queue.push({
        request,
        position,
        id: incoming.messageId ?? this.#ids.next(now.wallMs),
        receivedAt: now.wallMs,
        incoming,
        scope,
        deadlineMs: now.monotonicMs + SUBMIT_DEADLINE_MS,
      });
    });
  }

  #refusalOf(count: number): DistricError | undefined {
    if (this.#closed) return new DistricError('SHUTTING_DOWN', 'this coordinator is shutting down');
    if (this.#unansweredItems + count > UNANSWERED_ITEMS_MAX || this.#unansweredBytes > UNANSWERED_BYTES_MAX) {
      return new DistricError('QUEUE_FULL', 'more messages wait for an answer than this coordinator holds');
    }
    return undefined;
  }

  command(command: Command, actor: Actor, done: (outcome: CommandOutcome) => void): void {
    if (this.#closed) {
      done({ error: new DistricError('SHUTTING_DOWN', 'this coordinator is shutting down') });
      return;
    }
    const { kind: commandKind, bytes } = encodeCommand(this.#parts.host, command, actor);
    const deadlineMs = this.#parts.clock().monotonicMs + SUBMIT_DEADLINE_MS;
    this.#sendCommand({ commandKind, command: bytes, done, deadlineMs });
  }

  query(query: Query, consistency: Consistency, done: (outcome: QueryOutcome) => void): void {
    this.#requestId++;
    this.#queries.set(this.#requestId, done);
    this.#parts.toCore({ kind: 'query', requestId: this.#requestId, query, consistency });
  }

  /** Puts on record that these keys were used by `atMs` (wall clock). When it gets lost, the next use tells again. */
  touchKeys(ids: readonly string[], atMs: number): void {
    if (ids.length === 0 || this.#closed) return;
    this.#requestId++;
    const command = encode(this.#parts.host, TouchKeys, { ids, at: atMs });
    this.#parts.toCore({ kind: 'propose', requestId: this.#requestId, commandKind: COMMAND.touchKeys, command });
  }

  // ---- to the core -----------------------------------------------------------------------------------------------------

  /** Once per turn of the loop: sends what has gathered, and again what is due again. */
  flush(): void {
    if (this.#batches.size > 0 || this.#commands.size > 0) this.#giveUpUnanswered();
    if (this.#retries.length > 0) this.#retryDue();
    if (this.#queue.length === 0 || this.#catalogVersion < 0) {
      this.#giveUpQueued();
      return;
    }
    const items = this.#queue;
    this.#queue = [];
    this.#sendItems(items, false);
  }

  /** Evaluates and encodes the items, and sends them in batches that keep the limits. */
  #sendItems(items: readonly QueuedItem[], maybeKept: boolean): void {
    const { host, metrics, clock } = this.#parts;
    const startedMs = clock().monotonicMs;
    const matches = items.map(({ incoming }) => this.#match(incoming));
    metrics.ruleEvaluation(items.length, (clock().monotonicMs - startedMs) / 1_000);
    let batch: Batch = { items: [], maybeKept };
    let encoded: Uint8Array[] = [];
    let bytes = 0;
    let instances = 0;
    let rows = 0;
    items.forEach((item, i) => {
      const rules = matches[i] ?? NO_RULES;
      const one = encode(host, MessageItem, encodable(item, rules));
      const starts = rules.reduce((sum, { actions }) => sum + actions.length, 0);
      const rowsStarted = rules.reduce((sum, { id }) => sum + (this.#rows.get(id) ?? 0), 0);
      const full =
        bytes + one.length > BATCH_BYTES_MAX ||
        encoded.length >= BATCH_ITEMS_MAX ||
        instances + starts > BATCH_INSTANCES_MAX ||
        rows + rowsStarted > BATCH_ROWS_MAX;
      if (full && encoded.length > 0) {
        this.#sendBatch(batch, encoded, rows);
        batch = { items: [], maybeKept };
        encoded = [];
        bytes = 0;
        instances = 0;
        rows = 0;
      }
      batch.items.push(item);
      encoded.push(one);
      bytes += one.length;
      instances += starts;
      rows += rowsStarted;
    });
    this.#sendBatch(batch, encoded, rows);
  }

  #sendBatch(batch: Batch, items: Uint8Array[], rows: number): void {
    const catalogVersion = this.#catalogVersion;
    const command = encode(this.#parts.host, MessageBatch, { catalogVersion, items });
    this.#requestId++;
    this.#batches.set(this.#requestId, batch);
    this.#parts.toCore({
      kind: 'propose',
      requestId: this.#requestId,
      commandKind: COMMAND.messages,
      command,
      catalogVersion,
      rows,
    });
  }

  /** Lets go of the parsed value: an item waits for its answer long enough for the collector to copy all it holds. */
  #match(item: IncomingItem): readonly Rule[] {
    const { payload, source, headers } = item;
    const value = item.value ?? parseMessage(decodeText(this.#parts.host, payload));
    item.value = undefined;
    const envelope = { ...(source === undefined ? {} : { source }), ...(headers === undefined ? {} : { headers }) };
    return this.#rules.match(value, envelope);
  }

  #sendCommand(pending: PendingCommand): void {
    this.#requestId++;
    this.#commands.set(this.#requestId, pending);
    const { commandKind, command } = pending;
    this.#parts.toCore({ kind: 'propose', requestId: this.#requestId, commandKind, command });
  }

  #retryDue(): void {
    const { monotonicMs } = this.#parts.clock();
    const due = this.#retries.filter(({ dueMs }) => dueMs <= monotonicMs);
    if (due.length === 0) return;
    this.#retries = this.#retries.filter(({ dueMs }) => dueMs > monotonicMs);
    for (const { batch, command, why } of due) {
      if (batch !== undefined) {
        if (deadlineOf(batch) > monotonicMs) this.#sendItems(batch.items, batch.maybeKept);
        else this.#refuseBatch(batch.items, why, batch.maybeKept);
      }
      if (command !== undefined) {
        if (command.deadlineMs > monotonicMs) this.#sendCommand(command);
        else command.done({ error: why });
      }
    }
  }

  /** What went to a leader and has had no answer: it may have been lost on the way back, so the outcome is unknown. */
  #giveUpUnanswered(): void {
    const { monotonicMs } = this.#parts.clock();
    const why = new DistricError('NO_LEADER', 'the leader has not answered in time');
    for (const [requestId, batch] of this.#batches) {
      if (deadlineOf(batch) > monotonicMs) continue;
      this.#batches.delete(requestId);
      this.#refuseBatch(batch.items, why, true);
    }
    for (const [requestId, { deadlineMs, done }] of this.#commands) {
      if (deadlineMs > monotonicMs) continue;
      this.#commands.delete(requestId);
      done({ error: new DistricError('OUTCOME_UNKNOWN', `${why.message}; whether the change was made is not known`) });
    }
  }

  #giveUpQueued(): void {
    if (this.#queue.length === 0) return;
    const { monotonicMs } = this.#parts.clock();
    const error = new DistricError('NO_LEADER', 'this coordinator has not joined its cluster yet');
    const late = this.#queue.filter(({ deadlineMs }) => deadlineMs <= monotonicMs);
    if (late.length === 0) return;
    this.#queue = this.#queue.filter(({ deadlineMs }) => deadlineMs > monotonicMs);
    this.#refuseBatch(late, error, false);
  }

  // ---- from the core ---------------------------------------------------------------------------------------------------

  onReply(reply: Reply): void {
    switch (reply.kind) {
      case 'catalog':
        this.#rows = reply.rows;
        if (reply.version !== this.#catalogVersion) this.#setCatalog(reply.version, reply.rules);
        break;
      case 'answered': {
        const done = this.#queries.get(reply.requestId);
        this.#queries.delete(reply.requestId);
        done?.(reply.outcome);
        break;
      }
      case 'proposed': {
        const batch = this.#batches.get(reply.requestId);
        this.#batches.delete(reply.requestId);
        if (batch !== undefined) this.#onBatchResult(batch, reply.result);
        const command = this.#commands.get(reply.requestId);
        this.#commands.delete(reply.requestId);
        if (command !== undefined) this.#onCommandResult(command, reply.result);
        break;
      }
      case 'keys':
        // For the key ring: who is asking was found out before a request came here.
        break;
    }
  }

  #setCatalog(version: number, rules: readonly Rule[]): void {
    this.#rules = compileRules(rules);
    this.#catalogVersion = version;
  }

  #onBatchResult(batch: Batch, result: ProposalResult | undefined): void {
    if (result === undefined) {
      batch.maybeKept = true;
      this.#retryBatch(batch, new DistricError('NO_LEADER', 'the leader was lost before it answered'));
    } else if (result.errorCode === undefined) {
      this.#acceptBatch(batch, result.items);
    } else {
      const error = errorOf(result.errorCode, result.errorText ?? '', result.errorFields);
      if (RETRIED.has(error.code)) this.#retryBatch(batch, error);
      else this.#refuseBatch(batch.items, error, batch.maybeKept);
    }
  }

  #retryBatch(batch: Batch, why: DistricError): void {
    const { monotonicMs } = this.#parts.clock();
    const late = batch.items.filter(({ deadlineMs }) => deadlineMs <= monotonicMs);
    if (late.length > 0 || this.#closed) {
      const given = this.#closed ? batch.items : late;
      this.#refuseBatch(given, why, batch.maybeKept);
      batch.items = batch.items.filter((item) => !given.includes(item));
    }
    if (batch.items.length > 0) this.#retries.push({ dueMs: monotonicMs + RETRY_MS, batch, why });
  }

  #acceptBatch(batch: Batch, results: readonly ItemResult[]): void {
    let accepted = 0;
    batch.items.forEach((item, i) => {
      const result = results[i];
      if (result?.errorCode !== undefined) {
        this.#parts.metrics.messagesRefused(result.errorCode, 1);
        this.#settle(item, { error: errorOf(result.errorCode, result.errorText ?? '') });
        return;
      }
      accepted++;
      const started = result?.started ?? [];
      this.#settle(item, {
        accepted: {
          messageId: result?.messageId ?? item.id,
          workflowsTriggered: started.length === 0 ? NO_INSTANCES : started.map(({ workflow }) => workflow),
          instances: started.length === 0 ? NO_INSTANCES : started.map(({ id }) => id),
          duplicate: result?.duplicate ?? false,
        },
      });
    });
    this.#parts.metrics.messagesAccepted(accepted);
  }

  #refuseBatch(items: readonly QueuedItem[], why: DistricError, maybeKept: boolean): void {
    const error = maybeKept
      ? new DistricError('OUTCOME_UNKNOWN', `${why.message}; whether the message was kept is not known: send it again`)
      : why;
    this.#parts.metrics.messagesRefused(error.code, items.length);
    for (const item of items) this.#settle(item, { error });
  }

  #settle({ request, position, incoming }: QueuedItem, outcome: ItemOutcome): void {
    assert(request.outcomes[position] === undefined, 'an item is answered once');
    request.outcomes[position] = outcome;
    request.missing--;
    this.#unansweredItems--;
    this.#unansweredBytes -= incoming.payload.length;
    if (request.missing === 0) request.done(request.outcomes as ItemOutcome[]);
  }

  #onCommandResult(pending: PendingCommand, result: ProposalResult | undefined): void {
    if (result === undefined) {
      // Not sent again: a second "create" of what was kept would be refused as a duplicate of itself.
      const text = 'the leader was lost before it answered; whether the change was made is not known';
      pending.done({ error: new DistricError('OUTCOME_UNKNOWN', text) });
      return;
    }
    if (result.errorCode === undefined) {
      const { resource } = result;
      pending.done({ result: resource === undefined ? null : (JSON.parse(resource) as unknown) });
      return;
    }
    const error = errorOf(result.errorCode, result.errorText ?? '', result.errorFields);
    const { monotonicMs } = this.#parts.clock();
    if (!RETRIED.has(error.code) || pending.deadlineMs <= monotonicMs || this.#closed) {
      pending.done({ error });
      return;
    }
    this.#retries.push({ dueMs: monotonicMs + RETRY_MS, command: pending, why: error });
  }

  /** No new requests; what is waiting to be sent again is given up. */
  close(): void {
    this.#closed = true;
    const waiting = this.#retries;
    this.#retries = [];
    for (const { batch, command, why } of waiting) {
      if (batch !== undefined) this.#refuseBatch(batch.items, why, batch.maybeKept);
      command?.done({ error: why });
    }
  }
}

/** No slash is left in the scope, so that two scopes never share a key. */
function scopedKeyOf(scope: string, idempotencyKey: string): string {
  return `${scope.replaceAll('%', '%25').replaceAll('/', '%2f')}/${idempotencyKey}`;
}

/** Of its youngest item. */
function deadlineOf({ items }: Batch): number {
  return items.at(-1)?.deadlineMs ?? 0;
}

function encodable(item: QueuedItem, rules: readonly Rule[]): MessageItem {
  const { source, headers, idempotencyKey, payload } = item.incoming;
  return {
    id: item.id,
    receivedAt: item.receivedAt,
    payload,
    matched: rules.map(({ id, version }) => `${id}@${String(version)}`),
    ...(idempotencyKey === undefined ? {} : { scopedKey: scopedKeyOf(item.scope, idempotencyKey) }),
    ...(source === undefined ? {} : { source }),
    ...(headers === undefined ? {} : { headers: JSON.stringify(headers) }),
  };
}
