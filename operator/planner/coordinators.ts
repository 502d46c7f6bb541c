/** The StatefulSet of the coordinators. Pods are started by it, and restarted by the roller alone. */
import { quantityOf } from '../../base/quantity.ts';
import type { KubeObject, Observed, Step } from './model.ts';
import {
  coordinatorName,
  HASH_ANNOTATION,
  labelsOf,
  ordinalOf,
  ownedMetadata,
  ownerOf,
  selectorOf,
  TEMPLATE_ANNOTATION,
} from './names.ts';
import { coordinatorTemplate, type Template } from './pod-template.ts';

/** The template that pods are to have: as it was built for this hash, whatever release of the operator built it. */
export function frozenTemplate(
  wanted: Template,
  there: { hash: string | undefined; template: unknown } | undefined,
): Template {
  if (there?.hash !== wanted.hash || typeof there.template !== 'object' || there.template === null) return wanted;
  return { hash: wanted.hash, template: there.template as Template['template'] };
}

/** More at once; fewer only once those that are to go are no members any more (members.ts). */
export function coordinatorReplicas({ spec, statefulSet, raft, nodes }: Observed): number {
  if (spec.managementPolicy === 'Hibernated') return 0;
  const wanted = spec.coordinators.replicas;
  const present = statefulSet?.replicas ?? wanted;
  if (present <= wanted) return wanted;
  // Without the leader's word nobody is known to have left.
  if (raft === undefined && nodes.size > 0) return present;
  const last = Math.max(-1, ...(raft?.members ?? []).map(({ id }) => ordinalOf(id) ?? -1));
  return raft === undefined ? present : Math.max(wanted, Math.min(present, last + 1));
}

export function statefulSet(observed: Observed): Step {
  const { spec, statefulSet: there, defaultImage } = observed;
  const owner = ownerOf(observed);
  const name = coordinatorName(owner.name);
  if (there?.isDeleting === true) return { actions: [], doing: `${name} is being replaced`, isBlocking: true };
  const sizeBytes = quantityOf(spec.coordinators.storage.size);
  if (there !== undefined && there.claimBytes < sizeBytes) {
    // Its template of claims can't be changed: it is made anew, and its pods stay.
    const ref = { apiVersion: 'apps/v1', kind: 'StatefulSet', name, uid: there.uid };
    return {
      actions: [{ kind: 'delete', ref, orphan: true }],
      doing: `${name} is made anew for larger volumes`,
      isBlocking: true,
    };
  }
  const built = frozenTemplate(coordinatorTemplate(owner, spec, defaultImage), there);
  const { storageClassName, size } = spec.coordinators.storage;
  const metadata = ownedMetadata(owner, name, labelsOf(owner.name, 'coordinator'));
  const object: KubeObject = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: {
      ...metadata,
      annotations: { [HASH_ANNOTATION]: built.hash, [TEMPLATE_ANNOTATION]: JSON.stringify(built.template) },
    },
    spec: {
      replicas: coordinatorReplicas(observed),
      serviceName: name,
      podManagementPolicy: 'Parallel',
      updateStrategy: { type: 'OnDelete' },
      // Volumes are the operator's: one that is scaled to zero for a while keeps them.
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      revisionHistoryLimit: 5,
      selector: { matchLabels: selectorOf(owner.name, 'coordinator') },
      template: built.template,
      volumeClaimTemplates: [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'data', labels: selectorOf(owner.name, 'coordinator') },
          spec: {
            accessModes: ['ReadWriteOnce'],
            ...(storageClassName === undefined ? {} : { storageClassName }),
            resources: { requests: { storage: size } },
          },
        },
      ],
    },
  };
  return { actions: [{ kind: 'apply', object }] };
}
