/** Queries and changes as they come over the binary protocol, in JSON: checked as strictly as query strings are. */
import type { Permission } from '../api/access.ts';
import { parseJson } from '../api/json.ts';
import { CURSOR_CHARS_MAX, FILTER_CHARS_MAX, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX } from '../api/rest.ts';
import { parseRule } from '../api/rule.ts';
import { parseWorkflow } from '../api/workflow.ts';
import { DistricError } from '../base/errors.ts';
import {
  INSTANCE_STATUSES,
  type Command,
  type Consistency,
  type InstanceStatus,
  type Page,
  type Query,
} from './requests.ts';

type Fields = Record<string, unknown>;

/** Kind of query to what it asks of its caller, and the fields it has. */
const QUERIES: Readonly<Record<Query['kind'], { permission: Permission; fields: readonly string[] }>> = {
  message: { permission: 'follow', fields: ['id'] },
  messages: { permission: 'read', fields: ['page'] },
  instance: { permission: 'follow', fields: ['id'] },
  instances: { permission: 'read', fields: ['page', 'status', 'workflow', 'message'] },
  rule: { permission: 'read', fields: ['id'] },
  rules: { permission: 'read', fields: [] },
  workflow: { permission: 'read', fields: ['id'] },
  workflows: { permission: 'read', fields: [] },
  keys: { permission: 'administer', fields: [] },
  key: { permission: 'administer', fields: ['id'] },
  audit: { permission: 'administer', fields: ['page', 'actor', 'action'] },
  members: { permission: 'read', fields: [] },
  workers: { permission: 'read', fields: [] },
  worker: { permission: 'read', fields: ['id'] },
  nodes: { permission: 'read', fields: [] },
  clusterStatus: { permission: 'read', fields: [] },
};

function refuse(field: string, reason: string): never {
  throw new DistricError('INVALID_REQUEST', `${field}: ${reason}`, [{ field, reason }]);
}

function parseObject(text: string, name: string): Fields {
  const value = parseJson(text);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  return refuse(name, 'must be a JSON object');
}

function textOf(value: unknown, field: string, charsMax = FILTER_CHARS_MAX): string {
  if (typeof value === 'string' && value.length <= charsMax && /^[^\p{Cc}]+$/u.test(value)) return value;
  return refuse(field, `must be 1 to ${charsMax} characters, none of them a control character`);
}

function pageOf(value: unknown): Page {
  if (value === undefined) return { limit: PAGE_LIMIT_DEFAULT };
  if (typeof value !== 'object' || value === null) refuse('page', 'must be an object');
  const { limit = PAGE_LIMIT_DEFAULT, cursor } = value as Fields;
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 1 || limit > PAGE_LIMIT_MAX) {
    refuse('page.limit', `must be an integer from 1 to ${PAGE_LIMIT_MAX}`);
  }
  if (cursor === undefined) return { limit };
  const text = textOf(cursor, 'page.cursor', CURSOR_CHARS_MAX);
  if (!/^[\w.:~+/=-]+$/.test(text)) refuse('page.cursor', 'must be the next_cursor of an earlier answer');
  return { limit, cursor: text };
}

function statusOf(value: unknown): InstanceStatus {
  const found = INSTANCE_STATUSES.find((status) => status === value);
  return found ?? refuse('status', `must be one of ${INSTANCE_STATUSES.join(', ')}`);
}

export function consistencyOf(text: string): Consistency {
  if (text === 'linearizable' || text === 'stale') return text;
  return refuse('consistency', 'must be linearizable or stale');
}

/** Throws INVALID_REQUEST, INVALID_JSON. */
export function parseQuery(text: string): { query: Query; permission: Permission } {
  const { kind, ...given } = parseObject(text, 'query');
  if (typeof kind !== 'string' || !Object.hasOwn(QUERIES, kind)) {
    refuse('query.kind', `must be one of ${Object.keys(QUERIES).join(', ')}`);
  }
  const { permission, fields } = QUERIES[kind as Query['kind']];
  const checked: Fields = { kind };
  for (const name of Object.keys(given)) if (!fields.includes(name)) refuse(name.slice(0, 100), 'not known here');
  for (const name of fields) {
    const value = given[name];
    if (name === 'page') checked['page'] = pageOf(value);
    else if (name === 'id') checked['id'] = textOf(value, 'id');
    else if (value !== undefined) checked[name] = name === 'status' ? statusOf(value) : textOf(value, name);
  }
  return { query: checked as Query, permission };
}

/** Throws INVALID_REQUEST, INVALID_JSON, INVALID_DOCUMENT. Keys are made over REST, where their text is told. */
export function parseCommand(text: string): Command {
  const { kind, id, mode = 'upsert', document } = parseObject(text, 'command');
  switch (kind) {
    case 'putRule':
      return { kind, rule: parseRule(document), mode: modeOf(mode) };
    case 'putWorkflow':
      return { kind, workflow: parseWorkflow(document), mode: modeOf(mode) };
    case 'deleteRule':
    case 'deleteWorkflow':
    case 'cancelInstance':
      return { kind, id: textOf(id, 'id') };
    default:
      return refuse('command.kind', 'must be putRule, putWorkflow, deleteRule, deleteWorkflow or cancelInstance');
  }
}

const AUDIT_ACTIONS: ReadonlyMap<unknown, string> = new Map([
  ['putRule', 'rule.put'],
  ['deleteRule', 'rule.delete'],
  ['putWorkflow', 'workflow.put'],
  ['deleteWorkflow', 'workflow.delete'],
  ['cancelInstance', 'instance.cancel'],
]);

/** How the audit log names a change that was refused, whatever is wrong with it. */
export function changeOf(text: string): { action: string; target: string } {
  try {
    const { kind, id, document } = parseObject(text, 'command');
    const action = AUDIT_ACTIONS.get(kind) ?? 'unknown';
    const named: unknown = id ?? (document as { id?: unknown } | null | undefined)?.id;
    return { action, target: `${action.split('.')[0] ?? ''}/${typeof named === 'string' ? named : ''}` };
  } catch {
    return { action: 'unknown', target: '' };
  }
}

function modeOf(mode: unknown): 'create' | 'upsert' {
  return mode === 'create' || mode === 'upsert' ? mode : refuse('command.mode', 'must be create or upsert');
}
