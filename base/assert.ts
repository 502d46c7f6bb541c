/** Thrown when a fact of our own code does not hold: a bug of ours, so the process stops. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Always on, in production too: continuing on a broken invariant would spread the damage. */
export function assert(condition: unknown, fact: string): asserts condition {
  if (!condition) throw new AssertionError(`assertion failed: ${fact}`);
}

/** The last branch of an exhaustive switch: the compiler refuses it while a case is missing. */
export function unreachable(value: never, what: string): never {
  throw new AssertionError(`assertion failed: unexpected ${what}: ${JSON.stringify(value)}`);
}
