/** `/keys`: who may come in. A secret is made here, told once, and leaves nothing behind but its hash. */
import { randomBytes, randomInt } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { KEY_ID_CHARS, keyText, parseKeyRequest, parseRotateRequest } from '../../../api/access.ts';
import { durationMs } from '../../../api/duration.ts';
import { parseJson } from '../../../api/json.ts';
import { API_BASE } from '../../../api/rest.ts';
import { DistricError } from '../../../base/errors.ts';
import { digest } from './access.ts';
import { acceptBody, bodyOf } from './body.ts';
import { answerCommand, answerQuery, idOf, type ApiContext } from './exchange.ts';
import { consistencyOf, queryOf } from './query.ts';

const KEY_REQUEST_BYTES_MAX = 4 * 1024;
const SECRET_BYTES = 32;
const ID_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

function newId(): string {
  return Array.from({ length: KEY_ID_CHARS }, () => ID_ALPHABET.charAt(randomInt(ID_ALPHABET.length))).join('');
}

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

function readBody(request: FastifyRequest): unknown {
  const body = bodyOf(request);
  return body.length === 0 ? {} : parseJson(body.toString('utf8'));
}

function createKey(context: ApiContext, request: FastifyRequest, reply: FastifyReply): void {
  queryOf(request, []);
  const { name, role, expires_in: expiresIn, rate_limit: rateLimit } = parseKeyRequest(readBody(request));
  const id = newId();
  const secret = newSecret();
  const command = {
    kind: 'createKey',
    id,
    name,
    role,
    hash: digest.hash(secret),
    ...(expiresIn === undefined ? {} : { expiresAt: Date.now() + durationMs(expiresIn) }),
    ...(rateLimit === undefined ? {} : { rateLimit }),
  } as const;
  answerCommand(context, reply, command, 201, {
    location: `${API_BASE}/keys/${id}`,
    extra: { key: keyText(id, secret) },
  });
}

function rotateKey(context: ApiContext, request: FastifyRequest, reply: FastifyReply): void {
  queryOf(request, []);
  const overlapMs = parseRotateRequest(readBody(request));
  const id = idOf(request);
  if (!/^[a-z0-9]+$/.test(id)) throw new DistricError('NOT_FOUND', 'there is no such key');
  const secret = newSecret();
  const command = { kind: 'rotateKey', id, hash: digest.hash(secret), overlapMs } as const;
  answerCommand(context, reply, command, 200, { extra: { key: keyText(id, secret) } });
}

export function registerKeys(app: FastifyInstance, context: ApiContext): void {
  const path = `${API_BASE}/keys`;
  const onRequest = acceptBody(['application/json'], KEY_REQUEST_BYTES_MAX);
  app.get(path, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'keys' }, consistencyOf(query));
  });
  app.post(path, { onRequest }, (request, reply) => {
    createKey(context, request, reply);
  });
  app.get(`${path}/:id`, (request, reply) => {
    const query = queryOf(request, ['consistency']);
    answerQuery(context, reply, { kind: 'key', id: idOf(request) }, consistencyOf(query));
  });
  app.post(`${path}/:id/rotate`, { onRequest }, (request, reply) => {
    rotateKey(context, request, reply);
  });
  app.delete(`${path}/:id`, (request, reply) => {
    queryOf(request, []);
    answerCommand(context, reply, { kind: 'revokeKey', id: idOf(request) }, 204);
  });
}
