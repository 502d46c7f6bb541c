/**
 * When the state goes to its store, and when the log may forget: the state never ahead of the log on disk, the log never
 * cut above what the state has there.
 */
import type { Raft } from './core/raft/raft.ts';
import type { StateMachine } from './core/state/machine.ts';
import type { Writes } from './core/state/store.ts';

/** The state is committed to its store when this much is pending or this much time has passed. */
const STATE_COMMIT_BYTES = 8 * 1024 * 1024;
export const STATE_COMMIT_MS = 250;
/** What is applied while a commit is under way, and goes with the next one. */
const STATE_PENDING_BYTES_MAX = 64 * 1024 * 1024;

export interface LogKept {
  /** The log's prefix is looked at for cutting when it is this long. */
  entriesTrigger: number;
  /** The tail that stays, for followers that are close. */
  entriesKept: number;
  /** Over it the log is cut even below what members that are there still need: they get a snapshot. */
  bytesMax: number;
}

export interface DurabilityParts {
  raft: Raft;
  state: StateMachine;
  commitState: (writes: Writes) => void;
  /** Size of the log on disk; 0 while a cut is being carried out, so that it is not cut by the same size twice. */
  logBytes: () => number;
  logKept: LogKept;
  /** Whether a member that is too far behind can be sent one. */
  snapshots: boolean;
}

export class Durability {
  readonly #parts: DurabilityParts;
  #commitDueMs = 0;
  #durableIndex: number;
  #committingIndex = 0;

  constructor(parts: DurabilityParts) {
    this.#parts = parts;
    this.#durableIndex = parts.state.appliedIndex;
  }

  /** A state that is full waits for its commit, and with it for the log: memory is bounded. */
  mayApply(): boolean {
    const { raft, state } = this.#parts;
    if (raft.installing || raft.commitIndex === state.appliedIndex) return false;
    if (state.pendingBytes < STATE_COMMIT_BYTES) return true;
    // Meanwhile the next commit fills up, as far as memory is meant to hold it.
    if (state.committing) return state.pendingBytes < STATE_PENDING_BYTES_MAX;
    return !this.#appliedUnflushed();
  }

  commit(nowMs: number): void {
    const { raft, state, commitState } = this.#parts;
    if (raft.installing || state.committing || state.appliedIndex === this.#durableIndex) return;
    const due = nowMs >= this.#commitDueMs || state.pendingBytes >= STATE_COMMIT_BYTES;
    if (!due) return;
    // After a crash the log must reach what the state holds. Applied entries are committed, not always flushed here.
    if (this.#appliedUnflushed()) return;
    this.#commitDueMs = nowMs + STATE_COMMIT_MS;
    this.#committingIndex = state.appliedIndex;
    commitState(state.takeWrites());
  }

  /** Commits what is applied, for a shutdown: true when there was something to wait for. */
  commitNow(nowMs: number): boolean {
    this.#commitDueMs = 0;
    this.commit(nowMs);
    return this.#parts.state.committing;
  }

  /** What was handed to the store is there. */
  committed(): void {
    this.#parts.state.committed();
    this.#durableIndex = this.#committingIndex;
    this.#cutLog();
  }

  /** A snapshot has replaced the state, on disk already. */
  replaced(): void {
    this.#durableIndex = this.#parts.state.appliedIndex;
  }

  #appliedUnflushed(): boolean {
    const { raft, state } = this.#parts;
    return state.appliedIndex > raft.log.durableIndex;
  }

  #cutLog(): void {
    const { raft, logBytes, logKept, snapshots } = this.#parts;
    const { entriesTrigger, entriesKept, bytesMax } = logKept;
    const { log, safeCutIndex } = raft;
    const isTooLarge = snapshots && logBytes() >= bytesMax;
    if (!isTooLarge) {
      const upTo = Math.min(this.#durableIndex, safeCutIndex) - entriesKept;
      if (upTo - log.firstIndex >= entriesTrigger - entriesKept) raft.cut(upTo);
      return;
    }
    // To half of what it may be, as if all entries were of one size; if they are not, it is cut again.
    const count = log.lastIndex - log.firstIndex + 1;
    const kept = Math.floor((count * bytesMax) / (2 * logBytes()));
    const upTo = Math.min(this.#durableIndex, Math.max(safeCutIndex - entriesKept, log.lastIndex - kept));
    if (upTo > log.firstIndex) raft.cut(upTo);
  }
}
