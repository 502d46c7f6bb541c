/**
 * Secrets and certificates. One authority for each cluster; it is replaced in three steps, with time between them for
 * every node to see the files of the step before, so that at no point two nodes do not trust each other.
 */
import type { Action, MadeSecret, Observed, Step } from './model.ts';
import { madeSecretName, nodeNames, ownerOf } from './names.ts';

const DAY_MS = 86_400_000;
export const AUTHORITY_DAYS = 3_650;
export const JOIN_TOKEN_DAYS = 30;
/** A mounted secret follows within a minute or two, and nodes look every few seconds. */
export const SPREAD_MS = 5 * 60_000;
/** Renewed when so much of the life is left. */
const RENEW_SHARE = 1 / 3;

/** Whatever pods need to start, and what is about to run out. */
export function credentials(observed: Observed): Step {
  const { spec, secrets } = observed;
  const { name } = ownerOf(observed);
  const wanted: MadeSecret[] = ['gossip'];
  if (spec.auth.adminSecretRef === undefined) wanted.push('admin');
  if (spec.tls.mode !== 'Disabled') wanted.push('join');
  const actions = wanted
    .map((secret): Action & { kind: 'makeSecret' } => ({
      kind: 'makeSecret',
      secret,
      name: madeSecretName(name, secret),
    }))
    .filter((action) => !secrets.has(action.name));
  if (spec.tls.mode === 'Disabled') return { actions };
  // Certificates are made of what is in those secrets: first these are there.
  if (actions.length > 0) return { actions, isBlocking: true };
  return certificates(observed);
}

function certificates(observed: Observed): Step {
  const { pki, spec, nowMs } = observed;
  const { name } = ownerOf(observed);
  const days = spec.tls.certificateDays;
  const ends = (untilMs: number | undefined, lifeDays: number): boolean =>
    untilMs === undefined || untilMs - nowMs < RENEW_SHARE * lifeDays * DAY_MS;
  const actions: Action[] = [];
  if (pki.authorityUntilMs === undefined) {
    return { actions: [{ kind: 'makeAuthority', step: 'create' }], isBlocking: true };
  }
  if (pki.trusted > 1 && nowMs - pki.changedMs >= SPREAD_MS) {
    // Nobody shows a certificate of the old authority any more once all were made anew.
    const isSwitched = !ends(pki.authorityUntilMs, AUTHORITY_DAYS);
    actions.push({ kind: 'makeAuthority', step: isSwitched ? 'drop' : 'switch' });
  } else if (pki.trusted === 1 && ends(pki.authorityUntilMs, AUTHORITY_DAYS)) {
    actions.push({ kind: 'makeAuthority', step: 'trust' });
  }
  // A cluster that shrinks keeps the certificates of those that leave until they have left.
  const present = observed.statefulSet?.replicas ?? 0;
  const count = Math.max(spec.coordinators.replicas, present);
  const late = nodeNames(name, count).filter((node) => ends(pki.nodes.get(node), days));
  if (late.length > 0) actions.push({ kind: 'issueNodes', nodes: nodeNames(name, count) });
  if (ends(pki.operatorUntilMs, days)) actions.push({ kind: 'issueOperator' });
  if (ends(pki.joinTokenUntilMs, JOIN_TOKEN_DAYS)) actions.push({ kind: 'issueJoinToken' });
  return { actions };
}

/** When the first of what nodes show ends, ms. */
export function certificatesUntilMs({ pki }: Observed): number | undefined {
  const ends = [...pki.nodes.values(), pki.authorityUntilMs].filter((end) => end !== undefined);
  return ends.length === 0 ? undefined : Math.min(...ends);
}
