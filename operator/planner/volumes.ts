/** Volumes grow before anything waits for health: a full disk must not block its own growth. */
import { quantityOf } from '../../base/quantity.ts';
import { API_VERSION } from '../../api/resources.ts';
import type { Action, ClaimView, Observed, Step } from './model.ts';
import { ownerOf } from './names.ts';

export function volumes(observed: Observed): Step {
  const { claims, spec } = observed;
  const { storage, volumeRetention } = spec.coordinators;
  const sizeBytes = quantityOf(storage.size);
  const owner = ownerOf(observed);
  const actions: Action[] = [];
  for (const claim of claims) {
    if (claim.isDeleting) continue;
    if (claim.requestedBytes < sizeBytes) {
      actions.push(patch(claim, { spec: { resources: { requests: { storage: storage.size } } } }));
    }
    // The garbage collector takes what the cluster owns when it goes.
    const isOwned = volumeRetention.whenDeleted === 'Delete';
    if (claim.isOwned !== isOwned) {
      const { name, uid } = owner;
      const ownerReferences = isOwned ? [{ apiVersion: API_VERSION, kind: 'DistricCluster', name, uid }] : [];
      actions.push(patch(claim, { metadata: { ownerReferences } }));
    }
  }
  const grows = claims.some(({ requestedBytes }) => requestedBytes < sizeBytes);
  return { actions, ...(grows ? { doing: `volumes grow to ${storage.size}` } : {}) };
}

/** Of coordinators that were scaled away: no member has it, and no pod. */
export function leftoverVolumes({ claims, spec, raft, statefulSet }: Observed): Step {
  const { replicas, volumeRetention } = spec.coordinators;
  if (volumeRetention.whenScaled === 'Retain' || spec.managementPolicy !== 'Managed' || raft === undefined) {
    return { actions: [] };
  }
  const leftover = claims.filter(
    (claim) =>
      claim.ordinal >= Math.max(replicas, statefulSet?.replicas ?? replicas) &&
      !claim.isUsed &&
      !claim.isDeleting &&
      !raft.members.some(({ id }) => claim.name === `data-${id}`),
  );
  return { actions: leftover.map(({ name }) => ({ kind: 'delete', ref: claimRef(name) })) };
}

function claimRef(name: string) {
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name };
}

function patch({ name }: ClaimView, change: Record<string, unknown>): Action {
  return { kind: 'patch', ref: claimRef(name), patch: change };
}
