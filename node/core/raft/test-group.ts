/** Raft nodes joined by hand, for tests: messages wait until delivered, writes until flushed, time until moved. */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { Random } from '../../../base/random.ts';
import { decodeMessage, encodeMessage, type Message } from '../tlv/messages.ts';
import type { HardState, LogReader } from './log-reader.ts';
import { decodeEntry } from './entry.ts';
import {
  changed,
  decodeMembership,
  type Membership,
  MEMBERSHIP_KIND,
  type MembershipChange,
  membershipOf,
} from './membership.ts';
import type { SequencedWrite } from './outbox.ts';
import { Raft, type RaftOutput } from './raft.ts';
import type { ReadResult } from './read-rounds.ts';

export const ELECTION_MS_MIN = 1_000;
export const ELECTION_MS_MAX = 2_000;
export const HEARTBEAT_MS = 100;

/** What survives a crash: the flushed writes and nothing else. */
export class TestDisk implements LogReader {
  hardState: HardState = { term: 0, votedFor: null };
  firstIndex = 0;
  readonly entries = new Map<number, Uint8Array>();

  get lastIndex(): number {
    return Math.max(0, ...this.entries.keys());
  }

  read(from: number, to: number, bytesMax: number): Uint8Array[] {
    const found: Uint8Array[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.entries.get(index);
      assert(entry !== undefined, `entry ${String(index)} is on the test's disk`);
      bytes += entry.length;
      if (found.length > 0 && bytes > bytesMax) break;
      found.push(entry);
    }
    return found;
  }

  apply(write: SequencedWrite): void {
    const { hardState, restart, truncateFrom, cutBefore } = write;
    if (restart === true) this.entries.clear();
    if (hardState !== undefined) this.hardState = hardState;
    for (const index of [...this.entries.keys()]) {
      if (truncateFrom !== undefined && index >= truncateFrom) this.entries.delete(index);
    }
    for (const { index, bytes } of write.entries) this.entries.set(index, bytes);
    for (const index of [...this.entries.keys()])
      if (cutBefore !== undefined && index < cutBefore) this.entries.delete(index);
    this.firstIndex = this.entries.size === 0 ? 0 : Math.min(...this.entries.keys());
  }
}

function text(host: Host, parts: readonly Uint8Array[]): string {
  return parts.map((part) => host.readText(part, 0, part.length)).join('');
}

export interface Flying {
  from: string;
  to: string;
  message: Message;
}

export class TestNode {
  readonly id: string;
  readonly disk = new TestDisk();
  readonly reads: ReadResult[] = [];
  unflushed: SequencedWrite[] = [];
  raft: Raft;
  /** False: writes stay unflushed until `flush()`. */
  autoFlush = true;
  /** What the state holds durably: applied up to here, with these members, installed with this anchor. */
  appliedIndex = 0;
  membership: Membership | undefined;
  membershipIndex = 0;
  anchor: Uint8Array | undefined;
  /** Of the snapshot coming in: what is put aside, lost with a restart. */
  kept: Uint8Array[] = [];
  /** False: an install stays pending until `install()`. */
  autoInstall = true;
  pendingInstall: { snapshotId: string; anchor: Uint8Array } | undefined;
  installs = 0;
  /** Set: no snapshot is taken or kept. */
  noRoom: string | undefined;
  readonly #boot: (node: TestNode) => Raft;

  constructor(id: string, boot: (id: string, node: TestNode) => Raft) {
    this.id = id;
    this.#boot = (node) => boot(id, node);
    this.raft = this.#boot(this);
  }

  /** The oldest `count` writes reach the disk. */
  flush(count = this.unflushed.length): void {
    for (const write of this.unflushed.splice(0, count)) {
      this.disk.apply(write);
      this.raft.persisted(write.sequence);
    }
  }

  /** Everything in memory is gone, and the writes that were not flushed. */
  restart(): void {
    this.unflushed = [];
    this.kept = [];
    this.pendingInstall = undefined;
    this.raft = this.#boot(this);
  }

  /** The state takes in, durably, everything that is committed. */
  apply(host: Host): void {
    for (const entry of this.raft.committed(this.appliedIndex + 1, Infinity)) {
      this.appliedIndex = entry.index;
      if (entry.kind !== MEMBERSHIP_KIND) continue;
      this.membership = decodeMembership(host, entry.payload);
      this.membershipIndex = entry.index;
    }
  }

  /** The pending install is on disk; the core learns of it unless the node crashes in between. */
  install(host: Host, tell = true): void {
    const { pendingInstall: pending } = this;
    assert(pending !== undefined, 'an install is pending');
    this.pendingInstall = undefined;
    const index = decodeEntry(host, pending.anchor)?.index ?? 0;
    const state = JSON.parse(text(host, this.kept)) as {
      index: number;
      membership: Membership;
      membershipIndex: number;
    };
    assert(state.index === index, 'the snapshot is the one that was announced');
    Object.assign(this, { appliedIndex: index, anchor: pending.anchor, membership: state.membership });
    this.membershipIndex = state.membershipIndex;
    this.kept = [];
    this.installs++;
    if (tell) this.raft.snapshotInstalled(pending.snapshotId);
  }

  /** Text payloads of the log, the empty entries of new leaders as '-', with their terms: `1:-`, `1:x`. */
  logText(): string[] {
    const { log } = this.raft;
    const texts: string[] = [];
    for (let index = Math.max(1, log.firstIndex); index <= log.lastIndex; index++) {
      const { term, payload } = log.entry(index);
      texts.push(`${String(term)}:${payload.length === 0 ? '-' : String.fromCharCode(...payload.subarray(0, 100))}`);
    }
    return texts;
  }
}

export class TestGroup {
  readonly host: Host;
  readonly nodes = new Map<string, TestNode>();
  nowMs = 10_000;
  /** Sent and not yet delivered, oldest first. */
  wire: Flying[] = [];
  /** Messages for which this holds are lost as they are sent. */
  lost: (flying: Flying) => boolean = () => false;

  /** Bytes that pad a state in a snapshot. */
  stateBytes = 0;
  readonly #snapshots = new Map<string, Uint8Array>();

  /** `spares` are there and are no members. */
  constructor(host: Host, ids: readonly string[], seed = 1, spares: readonly string[] = []) {
    this.host = host;
    for (const id of [...ids, ...spares]) {
      this.nodes.set(
        id,
        new TestNode(id, (nodeId, { disk, appliedIndex, membership = membershipOf(ids), membershipIndex, anchor }) => {
          const config = {
            nodeId,
            electionMsMin: ELECTION_MS_MIN,
            electionMsMax: ELECTION_MS_MAX,
            heartbeatMs: HEARTBEAT_MS,
            snapshots: true,
          };
          const { hardState, firstIndex, lastIndex } = disk;
          const boot = {
            ...{ hardState, firstIndex, lastIndex, appliedIndex, membership, membershipIndex },
            anchor: anchor === undefined ? undefined : decodeEntry(host, anchor),
          };
          return new Raft(host, config, boot, disk, Random.stream(seed, nodeId), this.nowMs);
        }),
      );
    }
  }

  node(id: string): TestNode {
    const node = this.nodes.get(id);
    assert(node !== undefined, `${id} is a node of the group`);
    return node;
  }

  raft(id: string): Raft {
    return this.node(id).raft;
  }

  /** Takes what `id` wants done: its messages onto the wire, its write into its queue. */
  collect(id: string): Flying[] {
    const node = this.node(id);
    const sent: Flying[] = [];
    // A flush lets messages go that waited for it.
    for (let more = true; more;) {
      const { messages, write, reads, snapshots } = node.raft.output();
      for (const effect of snapshots) this.#serve(node, effect);
      node.reads.push(...reads);
      for (const { to, message } of messages) {
        const flying = { from: id, to, message: this.#overTheWire(message) };
        if (!this.lost(flying)) sent.push(flying);
      }
      if (write !== undefined) node.unflushed.push(write);
      const isDirty = node.autoFlush && node.unflushed.length > 0;
      if (isDirty) node.flush();
      more = isDirty || snapshots.length > 0;
    }
    this.wire.push(...sent);
    return sent;
  }

  /** The driver of a node's state: a state is its index, its members and padding. */
  #serve(node: TestNode, effect: RaftOutput['snapshots'][number]): void {
    const { raft } = node;
    const { snapshotId } = effect;
    switch (effect.kind) {
      case 'take': {
        const { appliedIndex: lastIndex, membershipIndex, membership = membershipOf(raft.membership.voters) } = node;
        const state = JSON.stringify({ index: lastIndex, membership, membershipIndex }).padEnd(this.stateBytes);
        const bytes = this.host.alloc(this.host.textByteLength(state));
        this.host.writeText(state, bytes, 0);
        this.#snapshots.set(snapshotId, bytes);
        if (node.noRoom === undefined) {
          raft.snapshotTaken(snapshotId, { lastIndex, membership, membershipIndex, sizeBytes: bytes.length });
        } else raft.snapshotTaken(snapshotId, undefined, node.noRoom);
        break;
      }
      case 'read': {
        const all = this.#snapshots.get(snapshotId);
        if (all === undefined) break;
        const { offset, bytesMax } = effect;
        raft.snapshotRead(snapshotId, offset, all.slice(offset, offset + bytesMax), offset + bytesMax >= all.length);
        break;
      }
      case 'drop':
        this.#snapshots.delete(snapshotId);
        break;
      case 'store':
        if (effect.offset === 0) node.kept = [];
        if (node.noRoom !== undefined) {
          raft.snapshotRefused(snapshotId, node.noRoom);
          break;
        }
        node.kept.push(effect.bytes);
        raft.snapshotStored(snapshotId, effect.offset + effect.bytes.length);
        break;
      case 'install':
        node.pendingInstall = effect;
        if (node.autoInstall) node.install(this.host);
        break;
      case 'abandon':
        node.kept = [];
        break;
    }
  }

  #overTheWire(message: Message): Message {
    const { code, payload } = encodeMessage(this.host, message);
    const decoded = decodeMessage(this.host, code, payload);
    assert(decoded !== undefined, 'a message of ours is known');
    return decoded;
  }

  /** Delivers what is on the wire now, or of it what `which` chooses, and collects the answers. */
  deliver(which: (flying: Flying) => boolean = () => true): Flying[] {
    const chosen = this.wire.filter(which);
    this.wire = this.wire.filter((flying) => !chosen.includes(flying));
    for (const { from, to, message } of chosen) this.raft(to).receive(from, message, this.nowMs);
    for (const id of this.nodes.keys()) this.collect(id);
    return chosen;
  }

  /** Delivers until the wire is silent. */
  settle(): void {
    for (const id of this.nodes.keys()) this.collect(id);
    for (let rounds = 0; this.wire.length > 0; rounds++) {
      assert(rounds < 1_000, 'the group comes to rest');
      this.deliver();
    }
  }

  /** Moves time on in steps of a heartbeat, everybody ticking and talking. */
  run(ms: number, ids: Iterable<string> = this.nodes.keys()): void {
    const ticking = [...ids];
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs += HEARTBEAT_MS;
      for (const id of ticking) this.raft(id).tick(this.nowMs);
      this.settle();
    }
  }

  /** That a leader keeps for somebody. */
  get snapshotCopies(): number {
    return this.#snapshots.size;
  }

  /** `id`'s election time-out passes, nobody else's; what follows is delivered. */
  elect(id: string): Raft {
    this.nowMs += ELECTION_MS_MAX;
    this.raft(id).tick(this.nowMs);
    this.settle();
    return this.raft(id);
  }

  propose(id: string, text: string): number {
    const payload = this.host.alloc(text.length);
    this.host.writeText(text, payload, 0);
    return this.raft(id).propose(1, payload, this.nowMs, this.nowMs);
  }

  /** Asks leader `id` for a change of the members, which must be possible. */
  change(id: string, change: MembershipChange): number {
    const to = changed(this.raft(id).membership, change);
    assert(!('reason' in to), 'reason' in to ? to.reason : '');
    return this.raft(id).proposeMembership(to, this.nowMs, this.nowMs);
  }

  /** Everybody's state takes in what is committed, and `id` cuts its log before `index`. */
  cut(id: string, index: number): void {
    for (const node of this.nodes.values()) node.apply(this.host);
    this.raft(id).cut(index);
    this.collect(id);
  }

  /** From now on every message between the two sides is lost. */
  partition(...sides: readonly (readonly string[])[]): void {
    const sideOf = (id: string) => sides.findIndex((side) => side.includes(id));
    this.lost = ({ from, to }) => sideOf(from) !== sideOf(to);
    this.wire = this.wire.filter((flying) => !this.lost(flying));
  }

  heal(): void {
    this.lost = () => false;
  }
}
