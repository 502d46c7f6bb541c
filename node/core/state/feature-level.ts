/**
 * What is done with an entry has to be the same on every replica. So a release that does anything anew, or takes entries
 * of a new kind, does so only above the entry that raises the cluster's feature level; the leader appends that one once
 * every member has said that it can follow (`node/feature-levels.ts`).
 *
 * Invariants
 * 1. The level of a cluster never falls.
 * 2. No release applies an entry, or opens a state, of a level above its own.
 */
import { COMMAND } from './commands.ts';

/** Of a cluster that was never raised, and of a release that says nothing. */
export const FEATURE_LEVEL_FIRST = 1;
/** Of this release. */
export const FEATURE_LEVEL = 2;

/** From which level on something is done. */
export const SINCE = {
  /** A message that would start too many instances and tasks is refused. */
  rowsPerMessage: 2,
  /** What a worker tells beyond its types and its capacity is kept: versions, zone, labels, reservations. */
  workerDetails: 2,
} as const;

const COMMANDS_SINCE: ReadonlyMap<number, number> = new Map([
  [COMMAND.raiseLevel, 2],
  [COMMAND.orderDrain, 2],
  [COMMAND.endDrain, 2],
]);

/** What a release must support to apply a command of this kind. */
export function levelOf(commandKind: number): number {
  return COMMANDS_SINCE.get(commandKind) ?? FEATURE_LEVEL_FIRST;
}

/** This node is of too early a release for its cluster: it must stop before it does anything else than the others. */
export class FeatureLevelError extends Error {
  override readonly name = 'FeatureLevelError';

  constructor(needed: number, supported: number) {
    super(
      `the cluster has feature level ${String(needed)}, this release supports ${String(supported)}: ` +
        'start this node with the release of the other coordinators',
    );
  }
}
