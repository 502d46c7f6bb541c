/** What a leader takes into its log, and the limits over which it refuses: nothing of what is refused is kept. */
import type { CoordinatorConfig } from './coordinator-parts.ts';
import { COMMAND } from './core/state/commands.ts';
import { levelOf } from './core/state/feature-level.ts';
import type { StateMachine } from './core/state/machine.ts';
import type { ProposalResult } from './core/state/outcomes.ts';
import type { Change } from './ports.ts';
import { type Proposals, refusal, UNAPPLIED_BYTES_MAX, UNAPPLIED_ROWS_MAX } from './proposals.ts';
import type { StateHashes } from './state-hashes.ts';
import type { StorageWatch } from './storage-watch.ts';

export interface AdmissionParts {
  config: Pick<CoordinatorConfig, 'activeInstancesMax' | 'unappliedBytesMax' | 'unappliedRowsMax'>;
  state: StateMachine;
  proposals: Proposals;
  storage: StorageWatch;
  hashes: StateHashes;
}

export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  refusalOf({ commandKind, catalogVersion }: Change): ProposalResult | undefined {
    const { config, state, proposals, hashes } = this.#parts;
    if (state.clusterId === '') return refusal('BOOTSTRAPPING', 'the cluster is being bootstrapped');
    if (levelOf(commandKind) > state.featureLevel) {
      const text = 'some coordinators are of a release that cannot do this yet: upgrade them first';
      return refusal('INVALID_REQUEST', text);
    }
    if (hashes.disputed) return refusal('STATE_DIVERGED', 'the replicas differ, and no majority has the same state');
    if (proposals.unappliedBytes >= (config.unappliedBytesMax ?? UNAPPLIED_BYTES_MAX)) {
      return refusal('QUEUE_FULL', 'more is proposed than the cluster can commit at present');
    }
    return commandKind === COMMAND.messages ? this.#messagesRefusal(catalogVersion) : undefined;
  }

  #messagesRefusal(catalogVersion: number | undefined): ProposalResult | undefined {
    const { config, state, proposals, storage } = this.#parts;
    const { minVotersForWrites, catalog } = state;
    if (minVotersForWrites > 0) {
      return refusal('BOOTSTRAPPING', `messages are taken once ${String(minVotersForWrites)} voters are in`);
    }
    if (storage.level !== 'open') return refusal('STORAGE_FULL', storage.reason);
    if (catalogVersion !== catalog.version || proposals.catalogChanges > 0) {
      return refusal('CATALOG_STALE', `the catalog is at version ${String(catalog.version)} or about to change`);
    }
    // What was appended before this one counts, not what this one brings: otherwise the largest could never get in.
    if (proposals.unappliedRows >= (config.unappliedRowsMax ?? UNAPPLIED_ROWS_MAX)) {
      return refusal('QUEUE_FULL', 'more instances and tasks are to be started than the cluster can write at present');
    }
    if (state.instances.active.size >= config.activeInstancesMax) {
      const max = String(config.activeInstancesMax);
      return refusal('QUEUE_FULL', `${max} instances are running, the limit: workers do not keep up`);
    }
    return undefined;
  }
}
