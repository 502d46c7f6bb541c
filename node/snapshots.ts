/**
 * Between the Raft core, which says what a snapshot needs next, and the driver, which reads and writes the state: what
 * the one asks is handed to the other, and the state is opened anew once it was replaced.
 */
import { decodeEntry, type Entry } from './core/raft/entry.ts';
import type { Membership } from './core/raft/membership.ts';
import type { Raft, RaftOutput } from './core/raft/raft.ts';
import { ANCHOR_KEY } from './core/state/keys.ts';
import type { KeyValueReader } from './core/state/store.ts';
import type { Host } from '../base/host.ts';
import type { SnapshotInput, SnapshotPort } from './ports.ts';

export class Snapshots {
  readonly #raft: Raft;
  readonly #port: SnapshotPort | undefined;
  /** Of the cluster as this node was configured: a state that was never changed names none. */
  readonly #bornWith: Membership;
  /** Waits until no commit of the state is under way. */
  #install: { snapshotId: string; anchor: Uint8Array } | undefined;

  constructor(raft: Raft, port: SnapshotPort | undefined, bornWith: Membership) {
    this.#raft = raft;
    this.#port = port;
    this.#bornWith = bornWith;
  }

  carryOut(effects: RaftOutput['snapshots'], committing: boolean): void {
    const port = this.#port;
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
          port.keep(snapshotId, effect.offset, effect.bytes);
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

  /** Set: the state is to be opened anew from this store, and only then is the core told. */
  step(input: SnapshotInput): { installed: string; store: KeyValueReader } | undefined {
    const { kind, snapshotId } = input;
    switch (kind) {
      case 'snapshotTaken': {
        const { head } = input;
        const membership = head?.membership ?? this.#bornWith;
        this.#raft.snapshotTaken(snapshotId, head === undefined ? undefined : { ...head, membership });
        return undefined;
      }
      case 'snapshotRead':
        this.#raft.snapshotRead(snapshotId, input.offset, input.bytes, input.done);
        return undefined;
      case 'snapshotKept':
        this.#raft.snapshotStored(snapshotId, input.offset);
        return undefined;
      case 'snapshotInstalled':
        return { installed: snapshotId, store: input.store };
    }
  }
}

/** The entry that the log has to have, or to restart at, because the state in `store` was installed with it. */
export function anchorOf(host: Host, store: KeyValueReader): Entry | undefined {
  const bytes = store.get(ANCHOR_KEY);
  return bytes === undefined ? undefined : decodeEntry(host, bytes);
}
