/**
 * A Rule or Workflow against what the cluster has under its id. It does not matter how either came to be as it is: a
 * document that differs is put, whoever changed it, unless somebody else owns it.
 */
import { parseDocuments } from '../../api/documents.ts';
import type { Condition } from '../../api/resources.ts';
import type { DocumentStatus } from '../../api/cluster-resource.ts';
import { DistricError } from '../../base/errors.ts';
import { canonicalText, hashOf } from './hash.ts';
import type { Json, KubeObject } from './model.ts';
import { withCondition } from './status.ts';

export type Remote = Json & { managedBy?: string; revision?: number; waiting_for_types?: string[] };

export interface Wanted {
  id: string;
  /** As it is to be in the cluster, with its owner. */
  document: Json;
  hash: string;
}

/** How its owner is called in the cluster. */
export function ownerName({ kind, metadata }: Pick<KubeObject, 'kind' | 'metadata'>): string {
  return `kubernetes/${metadata.namespace ?? ''}/${kind}/${metadata.name}`;
}

/** The document, as the cluster would have it; or in its own words why it is none. */
export function wantedOf(resource: KubeObject): Wanted | { reason: string } {
  const { apiVersion, kind, metadata } = resource;
  try {
    const { rules, workflows } = parseDocuments([
      { apiVersion, kind, metadata: { name: metadata.name }, spec: resource['spec'] },
    ]);
    const document = [...rules, ...workflows][0];
    if (document === undefined) return { reason: `${kind} holds no document` };
    const owned = { ...document, managedBy: ownerName(resource) };
    return { id: document.id, document: owned as unknown as Json, hash: hashOf(owned) };
  } catch (error) {
    if (error instanceof DistricError) return { reason: error.message };
    throw error;
  }
}

/** What a coordinator tells beside the document. */
const ADDED = ['revision', 'waiting_for_types', 'change'];

export type Move =
  /** It is there as it is to be. */
  | { kind: 'none' }
  /** `isDrift`: it had been put already, and somebody changed it since. */
  | { kind: 'put'; isDrift: boolean }
  | { kind: 'taken'; by: string };

export function moveFor(wanted: Wanted, remote: Remote | undefined, status: DocumentStatus | undefined): Move {
  if (remote === undefined) return { kind: 'put', isDrift: status?.appliedHash === wanted.hash };
  const document = Object.fromEntries(Object.entries(remote).filter(([name]) => !ADDED.includes(name)));
  const by = remote.managedBy;
  if (by !== undefined && by !== wanted.document['managedBy']) return { kind: 'taken', by };
  if (canonicalText(document) === canonicalText(wanted.document)) return { kind: 'none' };
  return { kind: 'put', isDrift: status?.appliedHash === wanted.hash };
}

export type Outcome =
  | { kind: 'synced'; hash: string; remote: Remote }
  /** Only another document would be taken. */
  | { kind: 'rejected'; reason: string }
  /** It will pass by itself: a workflow that is to come, a cluster without a leader. */
  | { kind: 'waiting'; reason: string; message: string };

type Verdict = Pick<Condition, 'status' | 'reason' | 'message'>;

export function documentStatus(resource: KubeObject, outcome: Outcome, nowMs: number): DocumentStatus {
  const generation = resource.metadata.generation ?? 0;
  const before = (resource['status'] ?? {}) as DocumentStatus;
  const conditions = Object.entries(verdictsOf(outcome)).map(([type, verdict]) =>
    withCondition(before.conditions ?? [], type, verdict, nowMs, generation),
  );
  const kept =
    outcome.kind === 'synced'
      ? appliedOf(outcome)
      : { appliedHash: before.appliedHash, remoteVersion: before.remoteVersion };
  const given = Object.entries(kept).filter(([, value]) => value !== undefined);
  return { observedGeneration: generation, ...Object.fromEntries(given), conditions };
}

function appliedOf({
  hash,
  remote,
}: {
  hash: string;
  remote: Remote;
}): Pick<DocumentStatus, 'appliedHash' | 'remoteVersion'> {
  return { appliedHash: hash, ...(remote.revision === undefined ? {} : { remoteVersion: String(remote.revision) }) };
}

function verdictsOf(outcome: Outcome): Record<string, Verdict> {
  const verdict = (status: Verdict['status'], reason: string, message: string): Verdict => ({
    status,
    reason,
    message,
  });
  const fine = verdict('False', 'Fine', 'nothing needs help');
  switch (outcome.kind) {
    case 'synced': {
      const types = outcome.remote.waiting_for_types ?? [];
      const waits = `no worker has registered ${types.join(', ')} yet`;
      return {
        Accepted: verdict('True', 'Accepted', 'the cluster has taken the document'),
        Synced: verdict('True', 'Synced', 'the cluster has what this resource says'),
        Ready: types.length === 0 ? verdict('True', 'Ready', 'in use') : verdict('False', 'WaitingForType', waits),
        Stalled: fine,
      };
    }
    case 'rejected':
      return {
        Accepted: verdict('False', 'Rejected', outcome.reason),
        Synced: verdict('False', 'Rejected', outcome.reason),
        Ready: verdict('False', 'Rejected', outcome.reason),
        Stalled: verdict('True', 'Rejected', 'only a change of this resource helps'),
      };
    case 'waiting':
      return {
        Accepted: verdict('Unknown', outcome.reason, outcome.message),
        Synced: verdict('False', outcome.reason, outcome.message),
        Ready: verdict('False', outcome.reason, outcome.message),
        Stalled: fine,
      };
  }
}
