/**
 * `/join`: how a node without a certificate gets one, and a node with one the next. Open to everybody: a token, or the
 * certificate of the connection, is what lets a node in.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Actor } from '../../../api/access.ts';
import type { Identity } from '../../../api/identity.ts';
import { parseJson } from '../../../api/json.ts';
import { API_BASE } from '../../../api/rest.ts';
import { DistricError } from '../../../base/errors.ts';
import type { AccessGuard } from './access.ts';
import { acceptBody, bodyOf } from './body.ts';
import { respond, type ApiContext } from './exchange.ts';
import { peerIdentity } from './peer-identity.ts';
import { queryOf } from './query.ts';

/** Who decides; PEM in and out. */
export interface JoinGate {
  authorities(): string;
  /** Both reject with a DistricError. */
  admit(token: string, request: string, nowMs: number): Promise<Admission>;
  renew(holder: Identity, request: string, nowMs: number): Promise<Admission>;
}

interface Admission {
  certificate: string;
  authorities: string;
  identity: Identity;
  /** Whom the audit log names. */
  by: Actor;
}

/** A token and a certificate request are far below. */
const JOIN_BYTES_MAX = 32 * 1024;
/** Each costs a signature. */
const JOINS_UNDER_WAY_MAX = 16;

export function registerJoin(app: FastifyInstance, context: ApiContext, gate: JoinGate, access: AccessGuard): void {
  const path = `${API_BASE}/join`;
  let underWay = 0;
  app.get(`${path}/authorities`, (request, reply) => {
    queryOf(request, []);
    respond(context, reply, 200, JSON.stringify({ authorities: gate.authorities() }));
  });
  app.post(path, { onRequest: acceptBody(['application/json'], JOIN_BYTES_MAX) }, async (request, reply) => {
    queryOf(request, []);
    const { token, request: certificateRequest } = joinRequestOf(parseJson(bodyOf(request).toString('utf8')));
    if (underWay >= JOINS_UNDER_WAY_MAX) throw new DistricError('QUEUE_FULL', 'too many nodes are joining: try again');
    underWay++;
    try {
      const { certificate, authorities, identity, by } =
        token === undefined
          ? await gate.renew(holderOf(request), certificateRequest, Date.now())
          : await gate.admit(token, certificateRequest, Date.now());
      const action = token === undefined ? 'node.renew' : 'node.join';
      const target = `${identity.role}/${identity.name}`;
      context.gateway.command({ kind: 'note', action, target, outcome: 'ok' }, by, () => undefined);
      respond(context, reply, 200, JSON.stringify({ certificate, authorities }));
    } catch (error) {
      const isTry = error instanceof DistricError && (error.code === 'UNAUTHENTICATED' || error.code === 'FORBIDDEN');
      throw (isTry ? access.failedTry(request, reply, 'join') : undefined) ?? error;
    } finally {
      underWay--;
    }
    return reply;
  });
}

function holderOf({ raw }: FastifyRequest): Identity {
  const identity = peerIdentity(raw.socket);
  if (identity !== undefined) return identity;
  throw new DistricError('UNAUTHENTICATED', 'send a join token, or show the certificate that is to be renewed');
}

function joinRequestOf(value: unknown): { token: string | undefined; request: string } {
  if (typeof value === 'object' && value !== null && 'request' in value) {
    const { token, request } = value as { token?: unknown; request: unknown };
    if ((token === undefined || typeof token === 'string') && typeof request === 'string') return { token, request };
  }
  const reason = 'must be an object with the texts "token" and "request" (a PEM certificate request)';
  throw new DistricError('INVALID_REQUEST', `the body ${reason}`, [{ field: 'body', reason }]);
}
