/**
 * A cluster is founded once. Which disk begins it, and the id of the cluster, are put on record, create-only, before the
 * order is given: a first coordinator that comes back with an empty disk finds the record and is no second cluster.
 */
import type { KubeObject, Observed, Step } from './model.ts';
import { foundingName, labelsOf, nodeName, ownedMetadata, ownerOf } from './names.ts';

export function founding(observed: Observed): Step {
  const { founding: record, nodes, raft, spec, newId } = observed;
  const owner = ownerOf(observed);
  const first = nodeName(owner.name, 0);
  const member = [...nodes].find(([, { clusterId }]) => clusterId !== '');
  if (record === undefined) {
    // Volumes that outlived their cluster: it goes on.
    if (member !== undefined) {
      const [node, { clusterId, dataUuid }] = member;
      return written(observed, { clusterId, dataUuid: dataUuid ?? '', node });
    }
    const view = nodes.get(first);
    if (view?.standing === 'joining' && view.dataUuid !== undefined) {
      return written(observed, { clusterId: newId, dataUuid: view.dataUuid, node: first });
    }
    return { actions: [], doing: `waits for ${first} to start`, isBlocking: true };
  }
  if (raft !== undefined) return { actions: [] };
  if (member !== undefined) {
    const isAnother = member[1].clusterId !== record.clusterId;
    if (isAnother)
      return {
        actions: [],
        stalled: `${member[0]} has data of another cluster, ${member[1].clusterId}`,
        isBlocking: true,
      };
    return { actions: [], doing: 'waits for a leader', isBlocking: true };
  }
  const view = nodes.get(record.node);
  if (view === undefined) return { actions: [], doing: `waits for ${record.node} to start`, isBlocking: true };
  if (view.standing === 'member') return { actions: [], doing: 'waits for the first leader', isBlocking: true };
  if (view.dataUuid !== record.dataUuid) {
    const stalled =
      `the volume of ${record.node} is not the one that founds the cluster: bring it back, restore a backup, or ` +
      `delete the secret ${foundingName(owner.name)} to begin an empty cluster`;
    return { actions: [], stalled, isBlocking: true };
  }
  const found = { kind: 'found', minVoters: spec.coordinators.replicas, ...record } as const;
  return { actions: [found], doing: `${record.node} founds the cluster`, isBlocking: true };
}

function written(observed: Observed, record: { clusterId: string; dataUuid: string; node: string }): Step {
  const owner = ownerOf(observed);
  const metadata = ownedMetadata(owner, foundingName(owner.name), labelsOf(owner.name));
  // With the volumes that it speaks of it outlives the resource.
  if (observed.spec.coordinators.volumeRetention.whenDeleted === 'Retain') delete metadata.ownerReferences;
  const object: KubeObject = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata,
    type: 'Opaque',
    stringData: { ...record },
  };
  return { actions: [{ kind: 'create', object }], doing: 'the cluster is about to be founded', isBlocking: true };
}
