/** Regular expressions of rules: RE2 syntax, matched in linear time, so no pattern can hang a coordinator. */
import { RE2JS, RE2JSException } from 're2js';

export const PATTERN_LENGTH_MAX = 1_000;
/** Instructions of a compiled pattern (nested counted repetitions multiply them). */
const PROGRAM_SIZE_MAX = 1_000;
/** UTF-16 units of a text that a pattern reads. */
const TEXT_LENGTH_MAX = 65_536;
/** Instructions times text length: linear time is still time. At the worst found, about 60 ns each. */
const WORK_MAX = 2_000_000;

/** `textLengthMax`: how much of a text may be read, so that one long field cannot delay a heartbeat. */
export interface CompiledPattern {
  pattern: RE2JS;
  textLengthMax: number;
}

/** Returns the compiled pattern, or why it is refused. The caller has kept `source` to PATTERN_LENGTH_MAX. */
export function compilePattern(source: string): CompiledPattern | { reason: string } {
  try {
    const pattern = RE2JS.compile(source);
    const size = pattern.programSize();
    if (size > PROGRAM_SIZE_MAX) {
      return { reason: `the pattern is too complex: ${size} steps, at most ${PROGRAM_SIZE_MAX} are allowed` };
    }
    return { pattern, textLengthMax: Math.min(TEXT_LENGTH_MAX, Math.floor(WORK_MAX / size)) };
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    return { reason: `not a regular expression (RE2 syntax, no look-around, no back-references): ${error.message}` };
  }
}
