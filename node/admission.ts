/** What a leader takes in at present. */
import type { CoordinatorConfig } from './coordinator-parts.ts';
import { COMMAND } from './core/state/commands.ts';
import type { ProposalResult } from './core/state/outcomes.ts';
import type { StateMachine } from './core/state/machine.ts';
import { type Proposals, refusal, UNAPPLIED_BYTES_MAX } from './proposals.ts';
import type { StateHashes } from './state-hashes.ts';
import type { StorageWatch } from './storage-watch.ts';

interface Situation {
  config: CoordinatorConfig;
  state: StateMachine;
  proposals: Proposals;
  hashes: StateHashes;
  storage: StorageWatch;
}

/** Why the leader will not append this; nothing is kept then. */
export function admissionFault(
  commandKind: number,
  catalogVersion: number | undefined,
  { config, state, proposals, hashes, storage }: Situation,
): ProposalResult | undefined {
  if (state.clusterId === '') return refusal('BOOTSTRAPPING', 'the cluster is being bootstrapped');
  if (hashes.disputed) return refusal('STATE_DIVERGED', 'the replicas differ, and no majority has the same state');
  if (proposals.unappliedBytes >= (config.unappliedBytesMax ?? UNAPPLIED_BYTES_MAX)) {
    return refusal('QUEUE_FULL', 'more is proposed than the cluster can commit at present');
  }
  if (commandKind !== COMMAND.messages) return undefined;
  const { minVotersForWrites } = state;
  if (minVotersForWrites > 0) {
    return refusal('BOOTSTRAPPING', `messages are taken once ${String(minVotersForWrites)} voters are in`);
  }
  if (storage.level !== 'open') return refusal('STORAGE_FULL', storage.reason);
  if (catalogVersion !== state.catalog.version || proposals.catalogChanges > 0) {
    return refusal('CATALOG_STALE', `the catalog is at version ${String(state.catalog.version)} or about to change`);
  }
  if (state.instances.active.size >= config.activeInstancesMax) {
    const max = String(config.activeInstancesMax);
    return refusal('QUEUE_FULL', `${max} instances are running, the limit: workers do not keep up`);
  }
  return undefined;
}
