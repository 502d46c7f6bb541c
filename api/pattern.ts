/** Regular expressions of rules: RE2 syntax, matched in linear time, so no pattern can hang a coordinator. */
import { RE2JS, RE2JSException } from 're2js';

export const PATTERN_LENGTH_MAX = 1_000;
/** Instructions of a compiled pattern: linear time still multiplies by this (nested counted repetitions grow it). */
const PROGRAM_SIZE_MAX = 5_000;

/** Returns the compiled pattern, or why it is refused. */
export function compilePattern(source: string): { pattern: RE2JS } | { reason: string } {
  if (source.length > PATTERN_LENGTH_MAX) {
    return { reason: `the pattern has ${source.length} characters; at most ${PATTERN_LENGTH_MAX} are allowed` };
  }
  try {
    const pattern = RE2JS.compile(source);
    const size = pattern.programSize();
    if (size > PROGRAM_SIZE_MAX) {
      return { reason: `the pattern is too complex: ${size} steps, at most ${PROGRAM_SIZE_MAX} are allowed` };
    }
    return { pattern };
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    return { reason: `not a regular expression (RE2 syntax, no look-around, no back-references): ${error.message}` };
  }
}
