/** A short hash of plain data, the same for the same content whatever the order of its keys. */

export function canonicalText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`;
  if (value === undefined) return 'null';
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalText(inner)}`).join(',')}}`;
}

const FNV_PRIME = 0x01000193;
const SEEDS = [0x811c9dc5, 0x9747b28c];

/** 16 hex digits: FNV-1a twice over. It tells changes apart, and keeps no secret. */
export function hashOf(value: unknown): string {
  const text = canonicalText(value);
  return SEEDS.map((seed) => {
    let hash = seed;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
    return (hash >>> 0).toString(16).padStart(8, '0');
  }).join('');
}
