/**
 * The replicated state machine: `apply(entry)` changes the state and says what happened. Deterministic: the same
 * entries give the same writes, hash and events on every replica, whatever was restarted in between.
 *
 * Invariants
 * 1. Entries are applied in order, each once; `appliedIndex` and the hash are stored in one transaction with the writes.
 * 2. A batch is kept only if it was evaluated against the catalog that stands at its place in the log.
 * 3. All time in here is the entry's: cluster time for durations, wall time for display.
 */
import { durationMs } from '../../../api/duration.ts';
import { assert } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';
import { decodeText, encodeText, type Host } from '../../../base/host.ts';
import { type Entry, NOOP_KIND } from '../raft/entry.ts';
import {
  decodeMembership,
  decodeMembershipEntry,
  encodeMembership,
  type Membership,
  MEMBERSHIP_KIND,
} from '../raft/membership.ts';
import { memberList } from './member-list.ts';
import type { Infer } from '../tlv/struct.ts';
import { decode, MalformedError } from '../tlv/struct.ts';
import { INSTANCE_TIMEOUT_MS_DEFAULT } from '../workflow/plan.ts';
import type { AttemptEnd, Now } from '../workflow/schedule.ts';
import { AccessTable } from './access-table.ts';
import { Administration } from './administration.ts';
import { AuditLog } from './audit-log.ts';
import { Catalog } from './catalog.ts';
import {
  Assign,
  Bootstrap,
  COMMAND,
  DrainWorker,
  LoseWorker,
  matchedRule,
  MessageBatch,
  MessageItem,
  RaiseLevel,
  Refound,
  RegisterWorker,
  Results,
  Sweep,
  TouchKeys,
} from './commands.ts';
import type { StateEvent } from './events.ts';
import { FEATURE_LEVEL, FEATURE_LEVEL_FIRST, FeatureLevelError, levelOf, SINCE } from './feature-level.ts';
import { InstanceTable } from './instance-table.ts';
import { MEMBERSHIP_KEY, META_KEY } from './keys.ts';
import { DEDUP_KEYS_MAX, instanceIdOf, MessageTable } from './message-table.ts';
import { DONE, type ItemResult, type ProposalResult, refused } from './outcomes.ts';
import { Overlay } from './overlay.ts';
import { Retention } from './retention.ts';
import type { KeyValueReader, Writes } from './store.ts';
import { toldOf, WorkerTable, WORKERS_MAX } from './worker-table.ts';

/** Instances that one message may start: all of them are made by one entry, on every replica. */
export const INSTANCES_PER_MESSAGE_MAX = 1_000;
/** The same for instances and tasks together. */
export const ROWS_PER_MESSAGE_MAX = 20_000;
/** Instances handled by one advance of the clock. */
export const DUE_PER_ENTRY_MAX = 1_000;

interface Started {
  id: string;
  workflow: string;
}

interface Meta {
  appliedIndex: number;
  hash: number;
  timeMs: number;
  clusterId: string;
  catalogVersion: number;
  messages: number;
  dedupKeys: number;
  /** Absent in a state of an earlier release. */
  auditRows?: number;
  /** The same. */
  instances?: number;
  /** Index of the entry that brought the membership; absent in a state from before memberships changed. */
  membershipIndex?: number;
  /** Absent in a cluster that takes messages. */
  minVotersForWrites?: number;
  /** Absent at the first. */
  featureLevel?: number;
}

/** Everything that is derived from the store. */
interface Tables {
  catalog: Catalog;
  messages: MessageTable;
  instances: InstanceTable;
  workers: WorkerTable;
  access: AccessTable;
  audit: AuditLog;
  retention: Retention;
  administration: Administration;
}

export class StateMachine {
  readonly #host: Host;
  #overlay: Overlay;
  #tables: Tables;
  appliedIndex = 0;
  /** Cluster time of the last applied entry, ms. */
  timeMs = 0;
  /** Empty until the cluster is bootstrapped. */
  clusterId = '';
  /** The members as of the last applied entry; undefined while they are those the cluster was born with. */
  membership: Membership | undefined;
  /** Index of the entry that brought `membership`; 0 for none. */
  membershipIndex = 0;
  /** Voters of a new cluster that have to be in before it takes messages; 0: it does. */
  minVotersForWrites = 0;
  /** Of the cluster, as of the last applied entry. */
  featureLevel: number = FEATURE_LEVEL_FIRST;
  readonly #levelMax: number;
  #events: StateEvent[] = [];

  /**
   * Opens the state as it was last committed to `store`, for a node that supports feature levels up to `levelMax`.
   * @throws FeatureLevelError: it is of a later release.
   */
  constructor(host: Host, store: KeyValueReader, levelMax: number = FEATURE_LEVEL) {
    this.#host = host;
    this.#levelMax = levelMax;
    this.#overlay = new Overlay(host, store);
    this.#tables = this.#openTables();
    this.#readMeta(store);
  }

  /** Forgets everything in memory and opens `store` anew: a snapshot has replaced what was in it. */
  reload(store: KeyValueReader): void {
    this.#overlay = new Overlay(this.#host, store);
    this.#tables = this.#openTables();
    this.#events = [];
    this.#readMeta(store);
  }

  #openTables(): Tables {
    const host = this.#host;
    const overlay = this.#overlay;
    const emit = (event: StateEvent): void => void this.#events.push(event);
    const catalog = new Catalog(host, overlay);
    const instances = new InstanceTable(host, overlay, catalog, emit);
    const access = new AccessTable(host, overlay);
    const audit = new AuditLog(host, overlay);
    const messages = new MessageTable(host, overlay);
    const workers = new WorkerTable(host, overlay);
    return {
      catalog,
      instances,
      access,
      audit,
      messages,
      retention: new Retention(messages, instances),
      workers,
      administration: new Administration({ host, catalog, instances, workers, access, audit, emit }),
    };
  }

  #readMeta(store: KeyValueReader): void {
    const bytes = store.get(META_KEY);
    if (bytes === undefined) return;
    const meta = JSON.parse(decodeText(this.#host, bytes)) as Meta;
    this.appliedIndex = meta.appliedIndex;
    this.#overlay.hash = meta.hash;
    this.timeMs = meta.timeMs;
    this.clusterId = meta.clusterId;
    this.catalog.version = meta.catalogVersion;
    this.messages.count = meta.messages;
    this.messages.dedupCount = meta.dedupKeys;
    this.audit.count = meta.auditRows ?? 0;
    this.instances.count = meta.instances ?? this.instances.counted();
    const membership = store.get(MEMBERSHIP_KEY);
    this.membership = membership === undefined ? undefined : decodeMembership(this.#host, membership);
    this.membershipIndex = meta.membershipIndex ?? 0;
    this.minVotersForWrites = meta.minVotersForWrites ?? 0;
    this.featureLevel = meta.featureLevel ?? FEATURE_LEVEL_FIRST;
    this.#demandLevel(this.featureLevel);
  }

  #demandLevel(level: number): void {
    if (level > this.#levelMax) throw new FeatureLevelError(level, this.#levelMax);
  }

  get catalog(): Catalog {
    return this.#tables.catalog;
  }

  get messages(): MessageTable {
    return this.#tables.messages;
  }

  get instances(): InstanceTable {
    return this.#tables.instances;
  }

  get workers(): WorkerTable {
    return this.#tables.workers;
  }

  get access(): AccessTable {
    return this.#tables.access;
  }

  get retention(): Retention {
    return this.#tables.retention;
  }

  get audit(): AuditLog {
    return this.#tables.audit;
  }

  get #administration(): Administration {
    return this.#tables.administration;
  }

  /** Covers every write since the first entry: equal on all replicas at equal index. */
  get hash(): number {
    return this.#overlay.hash;
  }

  get reader(): KeyValueReader {
    return this.#overlay;
  }

  get pendingBytes(): number {
    return this.#overlay.pendingBytes;
  }

  get committing(): boolean {
    return this.#overlay.committing;
  }

  /** Hands out the writes to commit, with the applied index and the hash they lead to. */
  takeWrites(): Writes {
    const meta: Meta = {
      appliedIndex: this.appliedIndex,
      hash: this.#overlay.hash,
      timeMs: this.timeMs,
      clusterId: this.clusterId,
      catalogVersion: this.catalog.version,
      messages: this.messages.count,
      dedupKeys: this.messages.dedupCount,
      auditRows: this.audit.count,
      instances: this.instances.count,
      membershipIndex: this.membershipIndex,
      ...(this.minVotersForWrites === 0 ? {} : { minVotersForWrites: this.minVotersForWrites }),
      ...(this.featureLevel === FEATURE_LEVEL_FIRST ? {} : { featureLevel: this.featureLevel }),
    };
    this.#overlay.putUnhashed(META_KEY, encodeText(this.#host, JSON.stringify(meta)));
    this.messages.handedOut();
    return this.#overlay.take();
  }

  committed(): void {
    this.#overlay.committed();
  }

  /** Cluster time at which something becomes due; Infinity when nothing ever will. */
  nextDueMs(): number {
    const { instances, messages, workers } = this;
    return Math.min(instances.due.peek()?.dueMs ?? Infinity, messages.nextExpiryMs, workers.nextDueMs);
  }

  apply(entry: Entry): { result: ProposalResult; events: StateEvent[] } {
    const isNext = entry.index === this.appliedIndex + 1;
    assert(
      isNext || (entry.kind === COMMAND.refound && entry.index > this.appliedIndex),
      'entries are applied in order',
    );
    this.appliedIndex = entry.index;
    assert(entry.timeMs >= this.timeMs || entry.kind === NOOP_KIND, 'cluster time never goes back');
    this.timeMs = Math.max(this.timeMs, entry.timeMs);
    const now: Now = { timeMs: this.timeMs, wallMs: entry.wallMs };
    let result: ProposalResult;
    try {
      result = this.#applyCommand(entry, now);
    } catch (error) {
      if (error instanceof DistricError) result = refused(error);
      else if (error instanceof MalformedError) result = refused(new DistricError('INVALID_REQUEST', error.message));
      else throw error;
    }
    const events = this.#events;
    this.#events = [];
    return { result, events };
  }

  #applyCommand(entry: Entry, now: Now): ProposalResult {
    const { payload } = entry;
    this.#demandLevel(levelOf(entry.kind));
    const administered = this.#administration.apply(entry.kind, payload, entry.index, now);
    if (administered !== undefined) return administered;
    switch (entry.kind) {
      case NOOP_KIND:
      case COMMAND.advanceTime:
        this.instances.fireDue(DUE_PER_ENTRY_MAX, now);
        this.messages.sweep(now.timeMs);
        this.#handBack(now);
        return DONE;
      case MEMBERSHIP_KIND:
        return this.#changeMembers(payload, entry.index, now);
      case COMMAND.changeMembers:
        return refused(
          new DistricError('INVALID_REQUEST', 'an order is no entry: the membership that it gives is one'),
        );
      case COMMAND.bootstrap:
        if (this.clusterId === '') this.#bootstrap(decode(this.#host, Bootstrap, payload));
        return DONE;
      case COMMAND.openCluster:
        this.minVotersForWrites = 0;
        return DONE;
      case COMMAND.raiseLevel: {
        const { level } = decode(this.#host, RaiseLevel, payload);
        this.#demandLevel(level);
        this.featureLevel = Math.max(this.featureLevel, level);
        this.#events.push({ kind: 'featureLevelRaised' });
        return DONE;
      }
      case COMMAND.messages:
        return this.#applyMessages(decode(this.#host, MessageBatch, payload), now);
      case COMMAND.refound:
        return this.#refound(decode(this.#host, Refound, payload), entry.index, now);
      case COMMAND.touchKeys: {
        const { ids, at } = decode(this.#host, TouchKeys, payload);
        this.access.touch(ids, at);
        return DONE;
      }
      case COMMAND.sweep:
        return this.#sweep(decode(this.#host, Sweep, payload));
      case COMMAND.registerWorker:
        return this.#registerWorker(decode(this.#host, RegisterWorker, payload), now);
      case COMMAND.loseWorker:
        return this.#loseWorker(decode(this.#host, LoseWorker, payload), now);
      case COMMAND.drainWorker:
        return this.#drainWorker(decode(this.#host, DrainWorker, payload));
      case COMMAND.assign:
        return this.#assign(decode(this.#host, Assign, payload), entry.index, now);
      case COMMAND.results:
        return this.#report(decode(this.#host, Results, payload), now);
      default:
        throw new Error(
          `entry ${String(entry.index)} is of kind ${String(entry.kind)}, which this version does not know`,
        );
    }
  }

  #bootstrap({ clusterId, minVotersForWrites = 1 }: Infer<typeof Bootstrap>): void {
    this.clusterId = clusterId;
    this.minVotersForWrites = minVotersForWrites > 1 ? minVotersForWrites : 0;
  }

  #sweep(sweep: Infer<typeof Sweep>): ProposalResult {
    const { deleted, next } = this.retention.apply(sweep, this.timeMs);
    this.#events.push({ kind: 'swept', table: sweep.table, deleted, next });
    return DONE;
  }

  #changeMembers(payload: Uint8Array, index: number, now: Now): ProposalResult {
    const { membership, order } = decodeMembershipEntry(this.#host, payload);
    const before = this.membership ?? null;
    this.#setMembership(membership, index);
    if (order === undefined) return DONE;
    this.audit.record({ ...order, outcome: 'ok', before, after: membership }, index, now.wallMs);
    return { ...DONE, resource: JSON.stringify(memberList(membership)) };
  }

  #setMembership(membership: Membership, index: number): void {
    this.membership = membership;
    this.membershipIndex = index;
    this.#overlay.put(MEMBERSHIP_KEY, encodeMembership(this.#host, membership));
    this.#events.push({ kind: 'membershipChanged', membership, index });
  }

  /** No worker of the old cluster is one of the new: what they were at is dispatched again, with higher tokens. */
  #refound(command: Refound, index: number, now: Now): ProposalResult {
    const { clusterId, action, actor, reason } = command;
    for (const session of [...this.instances.running.keys()].sort()) this.instances.loseSession(session, reason, now);
    for (const id of [...this.workers.workers.keys()].sort()) this.workers.delete(id);
    for (const id of [...this.workers.drains.keys()].sort()) this.workers.endDrain(id);
    const shown = (): unknown => ({ cluster_id: this.clusterId, members: this.membership ?? null });
    const before = shown();
    this.clusterId = clusterId;
    this.#setMembership(decodeMembership(this.#host, command.membership), index);
    // It has one voter, and is to serve.
    this.minVotersForWrites = 0;
    const note = { actor, action, target: `cluster/${clusterId}`, outcome: 'ok', before, after: shown() };
    this.audit.record(note, index, now.wallMs);
    return DONE;
  }

  // ---- messages ----------------------------------------------------------------------------------------------------

  #applyMessages(batch: Infer<typeof MessageBatch>, now: Now): ProposalResult {
    if (batch.catalogVersion !== this.catalog.version) {
      return refused(
        new DistricError(
          'CATALOG_STALE',
          `evaluated against catalog ${String(batch.catalogVersion)}, the cluster is at ${String(this.catalog.version)}`,
        ),
      );
    }
    // All are decoded before the first is kept: a batch with a broken item is refused whole.
    const decoded = batch.items.map((bytes) => ({ item: decode(this.#host, MessageItem, bytes), bytes }));
    const results = decoded.map(({ item, bytes }) => this.#applyMessage(item, bytes, now));
    if (results.every((result) => result === undefined)) return DONE;
    const items = decoded.map(({ item }, i) => results[i] ?? { messageId: item.id, duplicate: false, started: [] });
    return { errorFields: [], items };
  }

  /** Undefined: accepted, and it started nothing. */
  #applyMessage(item: MessageItem, bytes: Uint8Array, now: Now): ItemResult | undefined {
    if (this.messages.has(item.id)) return this.#firstOutcome(item.id, false);
    const earlier = item.scopedKey === undefined ? undefined : this.messages.dedupOf(item.scopedKey, now.timeMs);
    if (earlier !== undefined) return this.#duplicateOutcome(item, earlier);
    const excess = this.#excessOf(item);
    if (excess !== undefined) return itemError(item.id, 'LIMIT_EXCEEDED', excess);
    if (item.scopedKey !== undefined) {
      if (this.messages.dedupCount >= DEDUP_KEYS_MAX) {
        return itemError(item.id, 'DEDUP_FULL', 'the table of idempotency keys is full; keys free up as they expire');
      }
      this.messages.putDedup(item.scopedKey, item.id, now.timeMs);
    }
    this.messages.put(item.id, bytes);
    if (item.matched.length === 0) return undefined;
    const started = this.#startInstances(item, now);
    return { messageId: item.id, duplicate: false, started };
  }

  #firstOutcome(messageId: string, duplicate: boolean): ItemResult {
    const started: Started[] = [];
    for (const id of this.messages.instanceIdsOf(messageId)) {
      started.push({ id, workflow: this.instances.get(id)?.workflow ?? '' });
    }
    return { messageId, duplicate, started };
  }

  #duplicateOutcome(item: MessageItem, earlierId: string): ItemResult {
    const earlier = this.messages.get(earlierId);
    if (earlier !== undefined && !sameBytes(earlier.payload, item.payload)) {
      const text = `the idempotency key came with another body before (message ${earlierId})`;
      return itemError(item.id, 'IDEMPOTENCY_CONFLICT', text);
    }
    return this.#firstOutcome(earlierId, true);
  }

  /** What the matched rules ask for too much of, before any `dedupe`. */
  #excessOf(item: MessageItem): string | undefined {
    let starts = 0;
    let rows = 0;
    for (const match of item.matched) {
      const rule = this.catalog.rules.get(matchedRule(match).id)?.document;
      if (rule === undefined) continue;
      starts += rule.actions.length;
      rows += this.catalog.rowsOf(rule);
    }
    if (starts > INSTANCES_PER_MESSAGE_MAX) {
      return `its rules start ${String(starts)} instances, a message at most ${String(INSTANCES_PER_MESSAGE_MAX)}`;
    }
    if (rows <= ROWS_PER_MESSAGE_MAX || this.featureLevel < SINCE.rowsPerMessage) return undefined;
    return `its rules start ${String(rows)} instances and tasks, a message at most ${String(ROWS_PER_MESSAGE_MAX)}`;
  }

  #startInstances(item: MessageItem, now: Now): Started[] {
    const started: Started[] = [];
    for (const match of item.matched) {
      const rule = this.catalog.rules.get(matchedRule(match).id)?.document;
      assert(rule !== undefined, 'a rule of this catalog version is in the catalog');
      for (const action of rule.actions) {
        if (rule.dedupe === 'workflow' && started.some(({ workflow }) => workflow === action.workflow)) continue;
        const plan = this.catalog.currentPlan(action.workflow);
        assert(plan !== undefined, 'a rule names only workflows that exist');
        const id = instanceIdOf(item.id, started.length + 1);
        const actionTimeoutMs = action.timeout === undefined ? undefined : durationMs(action.timeout);
        this.instances.start(
          plan,
          {
            id,
            messageId: item.id,
            rule: rule.id,
            params: action.params ?? {},
            retryDefault: action.retry ?? 0,
            timeoutMs: plan.timeoutMs ?? actionTimeoutMs ?? INSTANCE_TIMEOUT_MS_DEFAULT,
          },
          now,
        );
        started.push({ id, workflow: action.workflow });
      }
    }
    return started;
  }

  // ---- workers and tasks -------------------------------------------------------------------------------------------

  #registerWorker(command: Infer<typeof RegisterWorker>, now: Now): ProposalResult {
    const before = this.workers.workers.get(command.workerId);
    if (before === undefined && this.workers.workers.size >= WORKERS_MAX) {
      throw new DistricError('QUEUE_FULL', `the cluster has ${String(WORKERS_MAX)} workers already, its limit`);
    }
    if (before !== undefined && before.session !== command.session) {
      this.instances.loseSession(before.session, `worker ${command.workerId} was restarted`, now);
    }
    for (const { name, version, configSchema } of command.types) {
      this.workers.registerType({ name, version, configSchema: configSchema ?? null });
    }
    this.workers.put({
      id: command.workerId,
      session: command.session,
      capacity: command.capacity,
      address: command.address,
      types: command.types.map(({ name }) => name),
      draining: false,
      registeredAt: now.wallMs,
      ...(this.featureLevel < SINCE.workerDetails ? {} : toldOf(command)),
    });
    this.#events.push({ kind: 'workerRegistered', workerId: command.workerId, session: command.session });
    return DONE;
  }

  #loseWorker(command: Infer<typeof LoseWorker>, now: Now): ProposalResult {
    const { workerId, session, reason, left } = command;
    if (this.workers.workers.get(workerId)?.session !== session) return DONE;
    this.instances.loseSession(session, `worker ${workerId} was lost: ${reason}`, now);
    this.workers.delete(workerId);
    // Whoever left as it was asked to is of use again when it comes back.
    if (left === true && this.workers.drains.has(workerId)) this.workers.endDrain(workerId);
    this.#events.push({ kind: 'workerLost', workerId, session, reason });
    return DONE;
  }

  #drainWorker(command: Infer<typeof DrainWorker>): ProposalResult {
    const worker = this.workers.workers.get(command.workerId);
    if (worker?.session !== command.session) return DONE;
    this.workers.put({ ...worker, draining: true });
    this.#events.push({ kind: 'drainChanged', workerId: worker.id });
    return DONE;
  }

  /** What drained workers still run when their time is over. */
  #handBack(now: Now): void {
    for (const { id, session } of this.workers.takeDue(now.timeMs)) {
      const reason = `worker ${id} was drained, and its time to finish was over`;
      this.instances.handBack(session, reason, now);
    }
  }

  #assign(command: Infer<typeof Assign>, token: number, now: Now): ProposalResult {
    for (const { instanceId, taskId, workerId, session } of command.assignments) {
      // Void when the worker's session is gone by now, or it is to get nothing more; the task stays ready.
      if (this.workers.workers.get(workerId)?.session !== session || this.workers.drains.has(workerId)) continue;
      this.instances.assign(instanceId, taskId, { token, worker: workerId, session }, now);
    }
    return DONE;
  }

  #report(command: Infer<typeof Results>, now: Now): ProposalResult {
    for (const result of command.results) {
      const { instanceId, taskId, token } = result;
      const accepted = this.instances.report(instanceId, taskId, token, attemptEnd(result), result.output, now);
      this.#events.push({ kind: 'resultJudged', instanceId, taskId, token, accepted });
    }
    return DONE;
  }
}

function attemptEnd(result: { status: string; error?: string }): AttemptEnd {
  const error = result.error ?? 'no reason given';
  switch (result.status) {
    case 'ok':
      return { status: 'ok' };
    case 'terminal':
      return { status: 'terminal', error };
    case 'lost':
      return { status: 'lost', error };
    default:
      return { status: 'retryable', error };
  }
}

function itemError(messageId: string, errorCode: string, errorText: string): ItemResult {
  return { messageId, duplicate: false, started: [], errorCode, errorText };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
