const DISTANCE_MAX = 2;
const WORD_LENGTH_MAX = 40;

/** The known word within two edits of `word` (or the one it is a prefix of), for "did you mean". */
export function nearestWord(word: string, known: readonly string[]): string | undefined {
  if (word.length > WORD_LENGTH_MAX) return undefined;
  const plain = word.toLowerCase().replaceAll('-', '_');
  let nearest: string | undefined;
  let nearestDistance = Math.min(DISTANCE_MAX, plain.length - 1) + 1;
  for (const candidate of known) {
    const distance = editDistance(plain, candidate);
    if (distance < nearestDistance) {
      nearest = candidate;
      nearestDistance = distance;
    }
  }
  return nearest ?? known.find((candidate) => plain.length >= 3 && candidate.startsWith(plain));
}

/** Levenshtein distance by the two-row dynamic programme. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
