/**
 * Lets nodes join: a good token and a certificate request get a certificate. Stateless: the token is signed, and only
 * how often it was taken is held in memory, per coordinator and until it expires. A node that has a certificate gets
 * another one for it.
 */
import { createPrivateKey } from 'node:crypto';
import { STRANGER, type Actor } from '../../../api/access.ts';
import { identityUri, type Identity } from '../../../api/identity.ts';
import { DistricError } from '../../../base/errors.ts';
import { BucketTable } from '../../../base/token-bucket.ts';
import { Authority, DAY_MS, readRequest, validFor } from '../../../pki/authority.ts';
import { certificateHash, readCertificates } from '../../../pki/pem.ts';
import { verifyJoinToken, type JoinGrant } from '../../../pki/join-token.ts';
import type { TlsLog } from './credential-watch.ts';

export interface JoinDeskOptions {
  clusterName: string;
  /** The coordinators of the cluster as they are now. */
  coordinatorIds: () => ReadonlySet<string>;
  secret: Uint8Array;
  /** PEM, of an authority in the bundle; like the bundle another one after a rotation. */
  authorityKey: () => string;
  /** The trusted authorities as they are now, PEM. */
  bundle: () => string;
  certificateDays: number;
  log: TlsLog;
  /** Monotonic. */
  clockMs?: () => number;
}

export interface JoinAnswer {
  certificate: string;
  authorities: string;
  /** Whose certificate it is, and by what right it got it. */
  identity: Identity;
  by: Actor;
}

/** Tokens whose uses are counted at once; over it the ones that expire first are forgotten. */
const TOKENS_MAX = 10_000;

/**
 * What one node may renew at once, and then how often. A certificate lasts for days, each renewal is a row of the audit
 * log, and a stolen certificate, or a node that can't keep what it gets, must not push the other rows out.
 */
export const RENEWALS_BURST = 3;
export const RENEWAL_INTERVAL_MS = 600_000;
const RENEWERS_MAX = 10_000;

export class JoinDesk {
  readonly #options: JoinDeskOptions;
  readonly #renewals = new BucketTable(RENEWERS_MAX);
  readonly #uses = new Map<string, { count: number; expiresMs: number }>();

  constructor(options: JoinDeskOptions) {
    this.#options = options;
  }

  /** Public: what a node that wants to join checks against the hash in its token. */
  authorities(): string {
    return this.#options.bundle();
  }

  /**
   * Throws UNAUTHENTICATED for a bad token, FORBIDDEN for what it does not grant, INVALID_REQUEST for a bad request,
   * INVALID_DOCUMENT when this coordinator's authority is no longer trusted.
   */
  async admit(token: string, request: string, nowMs: number): Promise<JoinAnswer> {
    const { secret, log } = this.#options;
    const grant = verifyJoinToken(secret, token, nowMs);
    const wanted = await readRequest(request);
    const { identity } = wanted;
    this.#check(grant, identity);
    const authority = await this.#authority();
    this.#count(grant, nowMs);
    const answer = await this.#issue(authority, request, wanted, nowMs);
    log.info({ role: identity.role, name: identity.name, grant: grant.nonce }, 'a node joined by a token');
    return { ...answer, identity, by: { kind: 'token', id: grant.nonce, name: '', role: STRANGER.role } };
  }

  /**
   * `holder` is whom the certificate on the connection speaks for. Throws FORBIDDEN for anybody but a node that still
   * has its place and asks for itself, RATE_LIMITED for one that asks too often, and as admit() does.
   */
  async renew(holder: Identity, request: string, nowMs: number): Promise<JoinAnswer> {
    if (holder.role !== 'coordinator' && holder.role !== 'worker')
      throw forbidden('only nodes renew certificates here');
    this.#checkPlace(holder);
    this.#limitRenewals(holder);
    const wanted = await readRequest(request);
    const { identity } = wanted;
    if (identityUri(identity) !== identityUri(holder)) {
      throw forbidden(`the certificate of ${identityUri(holder)} renews no other`);
    }
    const answer = await this.#issue(await this.#authority(), request, wanted, nowMs);
    this.#options.log.info({ role: identity.role, name: identity.name }, 'a node renewed its certificate');
    const { role, name } = holder;
    return { ...answer, identity, by: { kind: 'certificate', id: `${role}/${name}`, name, role: STRANGER.role } };
  }

  async #issue(
    authority: Authority,
    request: string,
    wanted: Awaited<ReturnType<typeof readRequest>>,
    nowMs: number,
  ): Promise<Pick<JoinAnswer, 'certificate' | 'authorities'>> {
    const { identity } = wanted;
    // Names are what HTTPS clients know a server by; a worker serves none.
    const { dnsNames, ipAddresses } = identity.role === 'coordinator' ? wanted : { dnsNames: [], ipAddresses: [] };
    const validity = validFor(this.#options.certificateDays * DAY_MS, nowMs);
    const certificate = await authority.issueFor(request, { identity, dnsNames, ipAddresses, validity });
    return { certificate, authorities: this.#options.bundle() };
  }

  #check(grant: JoinGrant, identity: Identity): void {
    const { role, name } = identity;
    if (role !== grant.role) throw forbidden(`the token is for the role ${grant.role}, not ${role}`);
    if (grant.name !== undefined && name !== grant.name)
      throw forbidden(`the token lets ${grant.name} join, not ${name}`);
    // One that is about to be added is no member yet: whoever made the token has named it.
    if (role !== 'coordinator' || grant.name === undefined) this.#checkPlace(identity);
    else this.#checkCluster(identity);
  }

  #checkCluster({ clusterName }: Identity): void {
    if (clusterName !== this.#options.clusterName) throw forbidden(`this is the cluster ${this.#options.clusterName}`);
  }

  #checkPlace(identity: Identity): void {
    this.#checkCluster(identity);
    const { role, name } = identity;
    const isCoordinatorId = this.#options.coordinatorIds().has(name);
    if (role === 'coordinator' && !isCoordinatorId) throw forbidden(`${name} is no coordinator of this cluster`);
    if (role === 'worker' && isCoordinatorId) throw forbidden(`${name} is the id of a coordinator`);
  }

  #limitRenewals(holder: Identity): void {
    const { clockMs = () => performance.now() } = this.#options;
    const perSecond = 1_000 / RENEWAL_INTERVAL_MS;
    const state = this.#renewals.take(identityUri(holder), perSecond, RENEWALS_BURST, clockMs());
    if (state.allowed) return;
    const waitS = Math.ceil(state.waitMs / 1_000);
    throw new DistricError('RATE_LIMITED', `${holder.name} has renewed too often: again in ${waitS} s`, [], waitS);
  }

  #count({ nonce, uses, expiresMs }: JoinGrant, nowMs: number): void {
    const used = this.#uses.get(nonce)?.count ?? 0;
    if (used >= uses)
      throw forbidden(`the token was used ${uses} times at this coordinator, which is all it is good for`);
    if (used === 0) this.#makeRoom(nowMs);
    this.#uses.set(nonce, { count: used + 1, expiresMs });
  }

  #makeRoom(nowMs: number): void {
    if (this.#uses.size < TOKENS_MAX) return;
    for (const [nonce, { expiresMs }] of this.#uses) if (expiresMs <= nowMs) this.#uses.delete(nonce);
    if (this.#uses.size < TOKENS_MAX) return;
    const [first] = [...this.#uses].sort(([, a], [, b]) => a.expiresMs - b.expiresMs);
    if (first !== undefined) this.#uses.delete(first[0]);
  }

  /** Found anew each time: the bundle changes while an authority is rotated. */
  async #authority(): Promise<Authority> {
    const key = this.#options.authorityKey();
    return Authority.open({ certificate: authorityOf(this.#options.bundle(), key), key });
  }
}

/** The certificate in the bundle that the key belongs to. Throws INVALID_DOCUMENT. */
function authorityOf(bundle: string, key: string): string {
  const privateKey = createPrivateKey(key);
  const own = readCertificates(bundle, 'the bundle of authorities').find((one) => one.checkPrivateKey(privateKey));
  if (own !== undefined) return own.toString();
  throw new DistricError('INVALID_DOCUMENT', 'tls.caKeyFile is the key of no authority in tls.caFile');
}

function forbidden(reason: string): DistricError {
  return new DistricError('FORBIDDEN', reason);
}

/** Throws INVALID_REQUEST when none of the certificates is the one that the token pins. */
export function pinnedAuthority(bundle: string, hash: string): string {
  const pinned = readCertificates(bundle, 'the answer').find((one) => certificateHash(one) === hash);
  if (pinned !== undefined) return pinned.toString();
  throw new DistricError('INVALID_REQUEST', `no authority there has the hash sha256:${hash} of the token`);
}
