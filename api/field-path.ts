/**
 * Where a condition looks: `amount`, `user.address.city`, `items[0].sku`, `labels[*].name` (any element),
 * `$source` (who sent the message), `$headers.x-request-id`.
 */
export const FIELD_PATH_LENGTH_MAX = 512;
const FIELD_PATH_STEPS_MAX = 32;
const INDEX_MAX = 1_000_000;

/** A property name, an index into a list, or every element of a list. */
export type PathStep = { kind: 'name'; name: string } | { kind: 'index'; index: number } | { kind: 'every' };

export type FieldPath =
  { origin: 'message'; steps: readonly PathStep[] } | { origin: 'source' } | { origin: 'header'; name: string };

const SEGMENT = /^([^.[\]]+)((?:\[(?:[0-9]{1,7}|\*)\])*)$/;

/** Returns the path, or why the text is none. Header names are case-insensitive: they come out in lower case. */
export function parseFieldPath(text: string): { path: FieldPath } | { reason: string } {
  if (text.startsWith('$')) return parseOrigin(text);
  const steps: PathStep[] = [];
  for (const segment of text.split('.')) {
    const [, name, brackets = ''] = SEGMENT.exec(segment) ?? [];
    if (name === undefined)
      return { reason: 'a path is names joined by ".", each with [0] or [*] after it if need be' };
    steps.push({ kind: 'name', name });
    for (const bracket of brackets.slice(1, -1).split('][')) {
      if (bracket === '*') steps.push({ kind: 'every' });
      else if (bracket !== '') steps.push({ kind: 'index', index: Number(bracket) });
    }
  }
  if (steps.length > FIELD_PATH_STEPS_MAX) return { reason: `a path has at most ${FIELD_PATH_STEPS_MAX} steps` };
  const far = steps.find((step) => step.kind === 'index' && step.index > INDEX_MAX);
  return far === undefined ? { path: { origin: 'message', steps } } : { reason: `an index is at most ${INDEX_MAX}` };
}

function parseOrigin(text: string): { path: FieldPath } | { reason: string } {
  if (text === '$source') return { path: { origin: 'source' } };
  const name = text.startsWith('$headers.') ? text.slice('$headers.'.length) : '';
  if (name !== '') return { path: { origin: 'header', name: name.toLowerCase() } };
  return { reason: 'only $source and $headers.NAME start with "$"' };
}
