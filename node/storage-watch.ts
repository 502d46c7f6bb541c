/**
 * How full the disks of the voters are, and what the leader still takes in.
 *
 * A follower never refuses a committed entry: it would have to stop. So the leader looks at the fullest voter that
 * answers, and stops early enough that what is under way still fits everywhere.
 *
 * 1. `soft`: no new messages. `hard`: no new work for tasks either; deletes, sweeps and administration go on.
 * 2. A level is left only when the fullest voter is clearly below its limit, or it would come and go with every entry.
 */

/** Share of a limit that is in use, and of which: the log's, the state's, or the file system's. */
export interface Fullness {
  what: 'log' | 'state' | 'disk';
  /** 0 to 1, or above. */
  share: number;
}

export interface StorageLimits {
  soft: number;
  hard: number;
}

export type StorageLevel = 'open' | 'soft' | 'hard';

/** Looking costs a few system calls: once in this time is enough, the limits leave room for what comes meanwhile. */
const LOOK_MS = 100;
/** A level is left this far below its limit, as a share. */
const HYSTERESIS = 0.02;
/** On the wire a share is this many parts. */
const PARTS = 1_000;
const PARTS_MAX = 65_535;

export class StorageWatch {
  readonly #nodeId: string;
  readonly #measure: () => Fullness;
  readonly #limits: StorageLimits;
  readonly #heard = new Map<string, { what: string; share: number }>();
  #own: Fullness;
  #lookDueMs = 0;
  #level: StorageLevel = 'open';
  #fullest: { node: string; what: string; share: number };

  constructor(nodeId: string, measure: () => Fullness, limits: StorageLimits) {
    this.#nodeId = nodeId;
    this.#measure = measure;
    this.#limits = limits;
    this.#own = measure();
    this.#fullest = { node: nodeId, ...this.#own };
  }

  get level(): StorageLevel {
    return this.#level;
  }

  /** Of this node, as last looked at. */
  get own(): Fullness {
    return this.#own;
  }

  /** Of any coordinator that this node has heard from as a leader, and of itself. */
  of(node: string): { what: string; share: number } | undefined {
    return node === this.#nodeId ? this.#own : this.#heard.get(node);
  }

  /** Why messages are refused. */
  get reason(): string {
    const { node, what, share } = this.#fullest;
    const limit = percent(this.#level === 'hard' ? this.#limits.hard : this.#limits.soft);
    return `the ${what} of ${node} is ${percent(share)} full, its ${this.#level} limit is ${limit}: free space or raise the limit`;
  }

  /** For an answer to the leader. */
  stamp(): { storageParts: number; storageWhat: string } {
    return { storageParts: Math.min(Math.round(this.#own.share * PARTS), PARTS_MAX), storageWhat: this.#own.what };
  }

  /** From an answer; a voter of an earlier release says nothing. */
  heard(from: string, parts: number | undefined, what: string | undefined): void {
    if (parts !== undefined) this.#heard.set(from, { what: what ?? 'disk', share: parts / PARTS });
  }

  /** A new term: nothing that was heard before counts. */
  begin(): void {
    this.#heard.clear();
    this.#level = 'open';
  }

  look(nowMs: number): void {
    if (nowMs < this.#lookDueMs) return;
    this.#lookDueMs = nowMs + LOOK_MS;
    this.#own = this.#measure();
  }

  /** The leader: what holds now, by the voters that answer. True: the level has changed. */
  judge(voters: Iterable<string>): boolean {
    this.#fullest = { node: this.#nodeId, ...this.#own };
    for (const node of voters) {
      const heard = this.#heard.get(node);
      if (heard !== undefined && heard.share > this.#fullest.share) this.#fullest = { node, ...heard };
    }
    const before = this.#level;
    this.#level = this.#levelOf(this.#fullest.share);
    return this.#level !== before;
  }

  #levelOf(share: number): StorageLevel {
    const { soft, hard } = this.#limits;
    if (share >= (this.#level === 'hard' ? hard - HYSTERESIS : hard)) return 'hard';
    return share >= (this.#level === 'open' ? soft : soft - HYSTERESIS) ? 'soft' : 'open';
  }
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
