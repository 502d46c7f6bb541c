/**
 * Between the Raft core, which says what a snapshot needs next, and the driver, which reads and writes the state: what
 * the one asks is handed to the other, and the state is opened anew once it was replaced.
 */
import { decodeEntry, type Entry } from './core/raft/entry.ts';
import { type Membership, members } from './core/raft/membership.ts';
import type { Raft, RaftOutput } from './core/raft/raft.ts';
import { ANCHOR_KEY } from './core/state/keys.ts';
import type { KeyValueReader } from './core/state/store.ts';
import type { Host } from '../base/host.ts';
import type { CoordinatorMetrics } from './metrics.ts';
import type { LoopLog, SnapshotInput, SnapshotPort } from './ports.ts';

export interface SnapshotsParts {
  raft: Raft;
  port: SnapshotPort | undefined;
  log: LoopLog;
  metrics: CoordinatorMetrics;
  /** Of the cluster as this node was configured: a state that was never changed names none. */
  bornWith: Membership;
}

export class Snapshots {
  readonly #parts: SnapshotsParts;
  /** Members that wait for room, here or there, as the log was told. */
  readonly #told = new Set<string>();
  #toldOwn = false;
  /** Waits until no commit of the state is under way. */
  #install: { snapshotId: string; anchor: Uint8Array } | undefined;

  constructor(parts: SnapshotsParts) {
    this.#parts = parts;
  }

  carryOut(effects: RaftOutput['snapshots'], committing: boolean): void {
    const { port } = this.#parts;
    if (port === undefined) return;
    for (const effect of effects) {
      const { kind, snapshotId } = effect;
      switch (kind) {
        case 'take':
          port.take(snapshotId);
          break;
        case 'read':
          port.read(snapshotId, effect.offset, effect.bytesMax);
          break;
        case 'drop':
          port.drop(snapshotId);
          break;
        case 'store':
          port.keep(snapshotId, effect.offset, effect.bytes, effect.sizeBytes);
          break;
        case 'install':
          this.#install = effect;
          break;
        case 'abandon':
          port.abandon(snapshotId);
          break;
      }
    }
    if (this.#install === undefined || committing) return;
    port.install(this.#install.snapshotId, this.#install.anchor);
    this.#install = undefined;
  }

  /** The leader, now and then: who begins to wait for room is told of once. */
  watch(): void {
    const { raft, log } = this.#parts;
    for (const peer of members(raft.membership)) {
      const reason = raft.snapshotWait(peer);
      if (reason === undefined) this.#told.delete(peer);
      else if (!this.#told.has(peer)) {
        this.#told.add(peer);
        log.warn({ component: 'storage', peer, reason }, 'a snapshot waits for room');
      }
    }
  }

  /** Once until one is installed: it is offered again and again. */
  #tellOwn(reason: string): void {
    if (this.#toldOwn) return;
    this.#toldOwn = true;
    this.#parts.log.warn({ component: 'storage', reason }, 'a snapshot is refused: there is no room for it');
  }

  /** Set: the state is to be opened anew from this store, and only then is the core told. */
  step(input: SnapshotInput): { installed: string; store: KeyValueReader } | undefined {
    const { raft, bornWith, metrics } = this.#parts;
    const { kind, snapshotId } = input;
    switch (kind) {
      case 'snapshotTaken': {
        const { head, sizeBytes } = input;
        raft.snapshotTaken(snapshotId, { ...head, membership: head.membership ?? bornWith, sizeBytes });
        return undefined;
      }
      case 'snapshotNotTaken':
        if (input.noRoom !== undefined) metrics.snapshotWithoutRoom('sender');
        raft.snapshotTaken(snapshotId, undefined, input.noRoom);
        return undefined;
      case 'snapshotRead':
        raft.snapshotRead(snapshotId, input.offset, input.bytes, input.done);
        return undefined;
      case 'snapshotKept':
        raft.snapshotStored(snapshotId, input.offset);
        return undefined;
      case 'snapshotRefused':
        metrics.snapshotWithoutRoom('receiver');
        this.#tellOwn(input.noRoom);
        raft.snapshotRefused(snapshotId, input.noRoom);
        return undefined;
      case 'snapshotInstalled':
        this.#toldOwn = false;
        return { installed: snapshotId, store: input.store };
    }
  }
}

/** The entry that the log has to have, or to restart at, because the state in `store` was installed with it. */
export function anchorOf(host: Host, store: KeyValueReader): Entry | undefined {
  const bytes = store.get(ANCHOR_KEY);
  return bytes === undefined ? undefined : decodeEntry(host, bytes);
}
