/**
 * Who may do what over REST: the roles, the least permission of every route, and the requests that make and turn keys.
 * The server, docs/access.md and the tests all read the one table in here.
 */
import { Type, type Static } from 'typebox';
import { CLOSED } from './common-schema.ts';
import { durationFaults, durationMs, DurationSchema } from './duration.ts';
import type { Identity } from './identity.ts';
import { API_BASE } from './rest.ts';
import { compileParse, refuseFaults } from './validation.ts';

export const ACCESS_ROLES = ['admin', 'operator', 'submitter', 'read-only'] as const;
export type AccessRole = (typeof ACCESS_ROLES)[number];

/** What a route asks of its caller. */
export type Permission = 'submit' | 'follow' | 'read' | 'operate' | 'administer';

const ROLES_WITH: Readonly<Record<Permission, readonly AccessRole[]>> = {
  /** Hand in messages. */
  submit: ['submitter', 'operator', 'admin'],
  /** See what became of a message: anybody who may submit or read. */
  follow: ['submitter', 'read-only', 'operator', 'admin'],
  /** See everything but keys and the audit log. */
  read: ['read-only', 'operator', 'admin'],
  /** Change rules and workflows, cancel instances, drain workers. */
  operate: ['operator', 'admin'],
  /** Keys, the audit log, backups. */
  administer: ['admin'],
};

/** Method and path, as the routes are declared, to what they ask. `HEAD` counts as `GET`. */
const ROUTE_PERMISSIONS: Readonly<Record<string, Permission>> = {
  'POST /messages': 'submit',
  'GET /messages': 'read',
  'GET /messages/:id': 'follow',
  'GET /workflows': 'read',
  'GET /workflows/:id': 'follow',
  'POST /workflows/:id/cancel': 'operate',
  'GET /instances': 'read',
  'GET /instances/:id': 'follow',
  'POST /instances/:id/cancel': 'operate',
  'GET /workflow-definitions': 'read',
  'POST /workflow-definitions': 'operate',
  'GET /workflow-definitions/:id': 'read',
  'PUT /workflow-definitions/:id': 'operate',
  'DELETE /workflow-definitions/:id': 'operate',
  'GET /rules': 'read',
  'POST /rules': 'operate',
  'GET /rules/:id': 'read',
  'PUT /rules/:id': 'operate',
  'DELETE /rules/:id': 'operate',
  'GET /workers': 'read',
  'GET /workers/:id': 'read',
  'POST /workers/:id/drain': 'operate',
  'POST /workers/:id/undrain': 'operate',
  'GET /cluster/status': 'read',
  'GET /cluster/nodes': 'read',
  'GET /cluster/events': 'read',
  'GET /cluster/backup': 'administer',
  'GET /cluster/members': 'read',
  'POST /cluster/members': 'administer',
  'POST /cluster/members/promote': 'administer',
  'POST /cluster/members/remove': 'administer',
  'POST /cluster/members/:id/promote': 'administer',
  'POST /cluster/members/:id/replace': 'administer',
  'DELETE /cluster/members/:id': 'administer',
  'POST /cluster/bootstrap': 'administer',
  'POST /cluster/leader': 'administer',
  'GET /keys': 'administer',
  'POST /keys': 'administer',
  'GET /keys/:id': 'administer',
  'POST /keys/:id/rotate': 'administer',
  'DELETE /keys/:id': 'administer',
  'GET /audit': 'administer',
};

/** Open to everybody: what they ask for is in their body. */
const OPEN_ROUTES: ReadonlySet<string> = new Set(['POST /join', 'GET /join/authorities']);

export function isOpenRoute(method: string, path: string): boolean {
  const key = `${method === 'HEAD' ? 'GET' : method} ${path.slice(API_BASE.length)}`;
  return path.startsWith(`${API_BASE}/`) && OPEN_ROUTES.has(key);
}

/** Routes that the audit log tells of, and how it names that. */
const AUDIT_ACTIONS: Readonly<Record<string, string>> = {
  'POST /rules': 'rule.put',
  'PUT /rules/:id': 'rule.put',
  'DELETE /rules/:id': 'rule.delete',
  'POST /workflow-definitions': 'workflow.put',
  'PUT /workflow-definitions/:id': 'workflow.put',
  'DELETE /workflow-definitions/:id': 'workflow.delete',
  'POST /workflows/:id/cancel': 'instance.cancel',
  'POST /instances/:id/cancel': 'instance.cancel',
  'POST /workers/:id/drain': 'worker.drain',
  'POST /workers/:id/undrain': 'worker.undrain',
  'GET /cluster/backup': 'cluster.backup',
  'POST /cluster/members': 'member.add',
  'POST /cluster/members/promote': 'member.promote',
  'POST /cluster/members/remove': 'member.remove',
  'POST /cluster/members/:id/promote': 'member.promote',
  'POST /cluster/members/:id/replace': 'member.replace',
  'DELETE /cluster/members/:id': 'member.remove',
  'POST /cluster/bootstrap': 'cluster.bootstrap',
  'POST /cluster/leader': 'leader.transfer',
  'POST /keys': 'key.create',
  'POST /keys/:id/rotate': 'key.rotate',
  'DELETE /keys/:id': 'key.revoke',
};

/** Undefined for a route that leaves nothing on record. */
export function auditActionOf(method: string, path: string): string | undefined {
  const key = `${method} ${path.slice(API_BASE.length)}`;
  return Object.hasOwn(AUDIT_ACTIONS, key) ? AUDIT_ACTIONS[key] : undefined;
}

/** Every `METHOD path` of the table. */
export const GUARDED_ROUTES: readonly string[] = Object.keys(ROUTE_PERMISSIONS);

/** What a route asks; undefined for one that is not in the table. `path` is as declared, `/api/v1/rules/:id`. */
export function permissionOf(method: string, path: string): Permission | undefined {
  if (!path.startsWith(`${API_BASE}/`)) return undefined;
  const key = `${method === 'HEAD' ? 'GET' : method} ${path.slice(API_BASE.length)}`;
  return Object.hasOwn(ROUTE_PERMISSIONS, key) ? ROUTE_PERMISSIONS[key] : undefined;
}

export function rolesWith(permission: Permission): readonly AccessRole[] {
  return ROLES_WITH[permission];
}

export function mayDo(role: AccessRole, permission: Permission): boolean {
  return ROLES_WITH[permission].includes(role);
}

export function isAccessRole(text: string): text is AccessRole {
  return (ACCESS_ROLES as readonly string[]).includes(text);
}

/** On whose behalf a request comes; what the audit log names. */
export interface Actor {
  kind: 'key' | 'certificate' | 'bootstrap' | 'token' | 'anonymous';
  /** Of a key its id, of a certificate `ROLE/NAME`, of a join token its nonce; empty for anonymous. */
  id: string;
  name: string;
  role: AccessRole;
}

/** On whose behalf the holder of a certificate asks; undefined for nodes, whose certificates open nothing here. */
export function actorOf({ role, name }: Identity): Actor | undefined {
  if (role !== 'operator' && role !== 'client') return undefined;
  return { kind: 'certificate', id: `${role}/${name}`, name, role: role === 'operator' ? 'admin' : 'submitter' };
}

/** Everybody, while `auth.mode` is `disabled`. */
export const ANONYMOUS: Actor = { kind: 'anonymous', id: '', name: '', role: 'admin' };

/** Whoever uses an open route: as such it may do nothing else. */
export const STRANGER: Actor = { kind: 'anonymous', id: '', name: '', role: 'read-only' };

// ---- keys as text ----------------------------------------------------------------------------------------------------

/** The key of `auth.adminKeyFile`: in no table, always admin. */
export const BOOTSTRAP_KEY_ID = 'bootstrap';
export const KEY_ID_CHARS = 16;

/** `dk_ID_SECRET`; the secret is 256 random bits in base64url. */
const KEY_TEXT = /^dk_([a-z0-9]{1,32})_([A-Za-z0-9_-]{43})$/;

export function keyText(id: string, secret: string): string {
  return `dk_${id}_${secret}`;
}

export function parseKeyText(text: string): { id: string; secret: string } | undefined {
  const [, id, secret] = KEY_TEXT.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

// ---- requests --------------------------------------------------------------------------------------------------------

/** Failed tries that one source address may make, and addresses that are counted, over REST and binary alike. */
export const FAILURES_PER_SECOND = 5;
export const FAILURES_BURST = 20;
export const FAILED_SOURCES_MAX = 10_000;
export const RATE_LIMIT_MAX = 1_000_000;
/** How long both secrets of a rotated key are accepted when the request does not say. */
export const ROTATION_OVERLAP_DEFAULT = '24h';
const ROTATION_OVERLAP_MS_MAX = 30 * 86_400_000;

const KeyRequestSchema = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,62}$',
      description: 'a name: 1 to 63 letters, digits, spaces, ".", "_", "@" or "-"',
    }),
    role: Type.Enum([...ACCESS_ROLES]),
    expires_in: Type.Optional(DurationSchema),
    /** Requests per second; 0 lifts the limit of the configuration. */
    rate_limit: Type.Optional(Type.Integer({ minimum: 0, maximum: RATE_LIMIT_MAX })),
  },
  CLOSED,
);
export type KeyRequest = Static<typeof KeyRequestSchema>;

const RotateRequestSchema = Type.Object(
  { overlap: Type.Optional(Type.Union([DurationSchema, Type.Literal(0)])) },
  CLOSED,
);

const checkKeyRequest = compileParse(KeyRequestSchema);
const checkRotateRequest = compileParse(RotateRequestSchema);

/** Body of `POST /keys`. Throws INVALID_DOCUMENT. */
export function parseKeyRequest(input: unknown): KeyRequest {
  const request = checkKeyRequest('the key', input);
  refuseFaults('the key', durationFaults('expires_in', request.expires_in));
  return request;
}

/** Body of `POST /keys/{id}/rotate`: the overlap in ms; 0 ends the earlier secret at once. Throws INVALID_DOCUMENT. */
export function parseRotateRequest(input: unknown): number {
  const { overlap = ROTATION_OVERLAP_DEFAULT } = checkRotateRequest('the rotation', input);
  if (overlap === 0) return 0;
  refuseFaults('the rotation', durationFaults('overlap', overlap));
  const overlapMs = durationMs(overlap);
  if (overlapMs <= ROTATION_OVERLAP_MS_MAX) return overlapMs;
  refuseFaults('the rotation', [{ field: 'overlap', reason: 'is at most 30 days' }]);
  return ROTATION_OVERLAP_MS_MAX;
}
