/**
 * Who may come in, decided before a byte of the body is read: a client certificate or a key says who it is, the table
 * in api/access.ts what that role may do, and two kinds of buckets how often.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  type Actor,
  actorOf,
  ANONYMOUS,
  isOpenRoute,
  mayDo,
  permissionOf,
  rolesWith,
  STRANGER,
} from '../../../api/access.ts';
import { DistricError } from '../../../base/errors.ts';
import type { BucketState } from '../../../base/token-bucket.ts';
import type { AccessLimits } from '../../access-limits.ts';
import type { AuthFailure, Digest, Identified, KeyRing } from '../../key-ring.ts';
import { peerIdentity } from './peer-identity.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler runs. */
    actor: Actor;
  }
}

export interface AccessMetrics {
  /** `reason` is an AuthFailure, or `forbidden`. */
  authFailed(reason: string): void;
  rateLimited(): void;
}

export interface AccessOptions {
  mode: 'disabled' | 'required';
  /** Certificates of another cluster say nothing here. */
  clusterName: string;
  ring: KeyRing;
  metrics: AccessMetrics;
  limits: AccessLimits;
}

const AUTHORIZATION_CHARS_MAX = 256;
/** A refused request with a longer body (or an unknown length) loses its connection: the rest is not worth reading. */
const REFUSED_BODY_BYTES_MAX = 64 * 1024;

export const digest: Digest = {
  hash: (secret) => createHash('sha256').update(secret).digest('hex'),
  equal: (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b)),
};

/** They go into a header, too: ASCII, without quotes. */
const REASONS: Readonly<Record<AuthFailure, string>> = {
  missing: 'this cluster wants a key: send Authorization: Bearer dk_ID_SECRET',
  malformed: 'the Authorization header must be: Bearer dk_ID_SECRET',
  unknown: 'the key is not known here',
  expired: 'the key, or this secret of it, has expired',
  revoked: 'the key is revoked',
};

/** Undefined without a header; a header that is no bearer token gives text that is no key. */
function bearerOf(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization;
  if (header === undefined) return undefined;
  const [, token = ''] = /^bearer +(\S+) *$/i.exec(header.slice(0, AUTHORIZATION_CHARS_MAX)) ?? [];
  return token;
}

function seconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1_000)));
}

export class AccessGuard {
  readonly #options: AccessOptions;
  readonly #certificates = new WeakMap<Socket, Identified | 'none'>();

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** Says who it is in `request.actor`; returns the refusal otherwise. */
  admit(request: FastifyRequest, reply: FastifyReply): DistricError | undefined {
    if (this.#options.mode === 'disabled') {
      request.actor = ANONYMOUS;
      return undefined;
    }
    const { url } = request.routeOptions;
    if (url !== undefined && isOpenRoute(request.method, url)) {
      request.actor = STRANGER;
      return undefined;
    }
    const refusal = this.#check(request, reply);
    if (refusal !== undefined && !hasShortBody(request)) reply.header('connection', 'close');
    return refusal;
  }

  #check(request: FastifyRequest, reply: FastifyReply): DistricError | undefined {
    const bearer = bearerOf(request);
    const identified =
      (bearer === undefined ? this.#certificate(request.raw.socket) : undefined) ??
      this.#options.ring.identify(bearer, Date.now());
    if ('failure' in identified) return this.#refuse(request, reply, identified.failure);
    request.actor = identified.actor;
    return this.#limit(reply, identified) ?? this.#authorize(request, identified.actor);
  }

  #refuse(request: FastifyRequest, reply: FastifyReply, failure: AuthFailure): DistricError {
    const limited = this.failedTry(request, reply, failure);
    if (limited !== undefined) return limited;
    const reason = REASONS[failure];
    const challenge = failure === 'missing' ? '' : `, error="invalid_token", error_description="${reason}"`;
    reply.header('www-authenticate', `Bearer realm="distric"${challenge}`);
    return new DistricError('UNAUTHENTICATED', reason, [{ field: 'Authorization', reason }]);
  }

  /** Counts it, and gives the refusal when this address has failed too often. */
  failedTry(request: FastifyRequest, reply: FastifyReply, reason: string): DistricError | undefined {
    const { metrics, limits } = this.#options;
    metrics.authFailed(reason);
    const state = limits.failed(request.ip, performance.now());
    if (state.allowed) return undefined;
    metrics.rateLimited();
    reply.header('retry-after', seconds(state.waitMs));
    return new DistricError('RATE_LIMITED', 'too many requests without a good key from this address');
  }

  #limit(reply: FastifyReply, identified: { actor: Actor; rateLimit: number | null }): DistricError | undefined {
    const taken = this.#options.limits.take(identified.actor, identified.rateLimit, performance.now());
    if (taken === undefined) return undefined;
    const { rate, state } = taken;
    tellLimit(reply, rate, state);
    if (state.allowed) return undefined;
    this.#options.metrics.rateLimited();
    reply.header('retry-after', seconds(state.waitMs));
    return new DistricError('RATE_LIMITED', `this key may make ${rate} requests a second at this coordinator`);
  }

  /** Paths and methods that are not there pass: they get their 404 or 405 from where that is known. */
  #authorize(request: FastifyRequest, actor: Actor): DistricError | undefined {
    const { url } = request.routeOptions;
    const permission = url === undefined ? undefined : permissionOf(request.method, url);
    if (permission === undefined || mayDo(actor.role, permission)) return undefined;
    this.#options.metrics.authFailed('forbidden');
    const needed = rolesWith(permission).join(' or ');
    return new DistricError('FORBIDDEN', `this needs the role ${needed}; the key has ${actor.role}`);
  }

  /** Who the client's certificate is, once a connection. The TLS layer has verified it against the cluster's CA. */
  #certificate(socket: Socket): Identified | undefined {
    const known = this.#certificates.get(socket) ?? this.#readCertificate(socket);
    this.#certificates.set(socket, known);
    return known === 'none' ? undefined : known;
  }

  #readCertificate(socket: Socket): Identified | 'none' {
    const identity = peerIdentity(socket);
    if (identity?.clusterName !== this.#options.clusterName) return 'none';
    const actor = actorOf(identity);
    return actor === undefined ? 'none' : { actor, rateLimit: null };
  }
}

/** draft-ietf-httpapi-ratelimit-headers-03. */
function tellLimit(reply: FastifyReply, rate: number, state: BucketState): void {
  reply.header('ratelimit-limit', String(rate));
  reply.header('ratelimit-remaining', String(state.remaining));
  reply.header('ratelimit-reset', String(Math.ceil(state.fullMs / 1_000)));
}

function hasShortBody(request: FastifyRequest): boolean {
  if (request.headers['transfer-encoding'] !== undefined) return false;
  return Number(request.headers['content-length'] ?? 0) <= REFUSED_BODY_BYTES_MAX;
}
