/** Query strings, strictly: an unknown or repeated parameter is a mistake that the client should hear about. */
import type { FastifyRequest } from 'fastify';
import { CURSOR_CHARS_MAX, FILTER_CHARS_MAX, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX } from '../../../api/rest.ts';
import { DistricError } from '../../../base/errors.ts';
import { INSTANCE_STATUSES, type Consistency, type InstanceStatus, type Page } from '../../requests.ts';

function refuse(field: string, reason: string): never {
  throw new DistricError('INVALID_REQUEST', `query parameter ${field}: ${reason}`, [{ field, reason }]);
}

/** The parameters of a request, each at most once and among `allowed`. Throws INVALID_REQUEST. */
export function queryOf(request: FastifyRequest, allowed: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of Object.entries(request.query as Record<string, unknown>)) {
    if (!allowed.includes(name)) {
      refuse(
        name.slice(0, 100),
        allowed.length === 0 ? 'not known here' : `not known here; known are ${allowed.join(', ')}`,
      );
    }
    if (typeof value !== 'string') refuse(name, 'given more than once');
    values.set(name, value);
  }
  return values;
}

export function consistencyOf(query: ReadonlyMap<string, string>): Consistency {
  const value = query.get('consistency') ?? 'linearizable';
  if (value === 'linearizable' || value === 'stale') return value;
  return refuse('consistency', 'must be linearizable or stale');
}

/** The only parameter of a change: whether to make it although somebody else owns the document. */
export function forceOf(request: FastifyRequest): { force?: true } {
  const value = queryOf(request, ['force']).get('force') ?? 'false';
  if (value === 'true' || value === 'false') return value === 'true' ? { force: true } : {};
  return refuse('force', 'must be true or false');
}

export function pageOf(query: ReadonlyMap<string, string>): Page {
  const text = query.get('limit');
  const limit = text === undefined ? PAGE_LIMIT_DEFAULT : Number(text);
  if ((text !== undefined && !/^\d{1,9}$/.test(text)) || limit < 1 || limit > PAGE_LIMIT_MAX) {
    refuse('limit', `must be an integer from 1 to ${PAGE_LIMIT_MAX}`);
  }
  const cursor = query.get('cursor');
  if (cursor === undefined) return { limit };
  if (cursor.length > CURSOR_CHARS_MAX || !/^[\w.:~+/=-]+$/.test(cursor)) {
    refuse('cursor', 'must be the next_cursor of an earlier answer');
  }
  return { limit, cursor };
}

export function statusOf(query: ReadonlyMap<string, string>): InstanceStatus | undefined {
  const text = query.get('status');
  if (text === undefined) return undefined;
  const found = INSTANCE_STATUSES.find((status) => status === text.toUpperCase());
  return found ?? refuse('status', `must be one of ${INSTANCE_STATUSES.join(', ')}`);
}

/** An id to filter a list by. */
export function filterOf(query: ReadonlyMap<string, string>, name: string): string | undefined {
  const text = query.get(name);
  if (text === undefined) return undefined;
  if (text.length > FILTER_CHARS_MAX || !/^[^\p{Cc}]+$/u.test(text)) {
    refuse(name, `must be 1 to ${FILTER_CHARS_MAX} characters, none of them a control character`);
  }
  return text;
}
