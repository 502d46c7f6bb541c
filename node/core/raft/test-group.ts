/** Raft nodes joined by hand, for tests: messages wait until delivered, writes until flushed, time until moved. */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { Random } from '../../../base/random.ts';
import { decodeMessage, encodeMessage, type Message } from '../tlv/messages.ts';
import type { HardState, LogReader } from './log-reader.ts';
import { membershipOf } from './membership.ts';
import type { SequencedWrite } from './outbox.ts';
import { Raft } from './raft.ts';
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
  appliedIndex = 0;
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
    this.raft = this.#boot(this);
  }

  /** Text payloads of the log, the empty entries of new leaders as '-', with their terms: `1:-`, `1:x`. */
  logText(): string[] {
    const { log } = this.raft;
    const texts: string[] = [];
    for (let index = Math.max(1, log.firstIndex); index <= log.lastIndex; index++) {
      const { term, payload } = log.entry(index);
      texts.push(`${String(term)}:${payload.length === 0 ? '-' : String.fromCharCode(...payload)}`);
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

  constructor(host: Host, ids: readonly string[], seed = 1) {
    this.host = host;
    for (const id of ids) {
      this.nodes.set(
        id,
        new TestNode(id, (nodeId, { disk, appliedIndex }) => {
          const config = {
            nodeId,
            electionMsMin: ELECTION_MS_MIN,
            electionMsMax: ELECTION_MS_MAX,
            heartbeatMs: HEARTBEAT_MS,
            snapshots: true,
          };
          const { hardState, firstIndex, lastIndex } = disk;
          const membership = membershipOf(ids);
          const boot = { hardState, firstIndex, lastIndex, appliedIndex, membership, membershipIndex: 0 };
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
      const { messages, write, reads } = node.raft.output();
      node.reads.push(...reads);
      for (const { to, message } of messages) {
        const flying = { from: id, to, message: this.#overTheWire(message) };
        if (!this.lost(flying)) sent.push(flying);
      }
      if (write !== undefined) node.unflushed.push(write);
      more = node.autoFlush && node.unflushed.length > 0;
      if (more) node.flush();
    }
    this.wire.push(...sent);
    return sent;
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
