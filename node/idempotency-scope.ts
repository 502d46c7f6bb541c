import type { Actor } from '../api/access.ts';

/** Idempotency keys belong to whom the request comes from; of the anonymous to the source they name, else to all of them. */
export function scopeOf(actor: Actor, source: string | undefined): string {
  if (actor.kind === 'certificate') return `certificate:${actor.id.replace('/', ':')}`;
  if (actor.kind !== 'anonymous') return `key:${actor.id}`;
  return source === undefined ? 'anonymous' : `source:${source}`;
}
