/**
 * Reads webhook payloads without trusting their shape, and turns text from outside into harmless markdown.
 */

/** The value under a dotted path, own properties only; undefined when any step is missing. */
export function valueAt(payload: unknown, path: string): unknown {
  let value = payload;
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  return value;
}

/** The first non-empty text under one of the paths, trimmed; '' when there is none. Numbers and booleans are spelled out. */
export function textAt(payload: unknown, ...paths: readonly string[]): string {
  for (const path of paths) {
    const value = valueAt(payload, path);
    if (typeof value === 'string' && value.trim() !== '') return value.trim();
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  }
  return '';
}

/** The array under the path; an empty one when there is none. */
export function listAt(payload: unknown, path: string): readonly unknown[] {
  const value = valueAt(payload, path);
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** What the tasks before this one wrote: their `markdown` outputs, in the order of the tasks' ids. */
export function markdownOf(outputs: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(outputs)
    .sort()
    .map((taskId) => textAt(outputs, `${taskId}.markdown`))
    .filter((markdown) => markdown !== '');
}

/** The object as a record; an empty one when the value is anything else. */
export function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

/** One line of plain text: a title written by a stranger must become neither markup nor a mention that notifies people. */
export function escapeMarkdown(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_[\]<>|#~]/g, (character) => `\\${character}`)
    .replace(/@(?=\w)/g, '@\u200b');
}

/** At most `charsMax` characters, cut with an ellipsis and never through a surrogate pair. */
export function excerpt(text: string, charsMax: number): string {
  const characters = Array.from(text);
  return characters.length <= charsMax ? text : `${characters.slice(0, charsMax - 1).join('')}…`;
}

/** Only addresses of the web become links; anything else (a `javascript:` address) is dropped. */
export function webUrl(text: string): string {
  return /^https?:\/\/[^\s<>()]+$/.test(text) ? text : '';
}
