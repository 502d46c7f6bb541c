import type { FieldError } from '../base/errors.ts';
import { DistricError } from '../base/errors.ts';

/** What a script can tell from the exit code; documented in docs/cli.md, so a number never changes its meaning. */
export const EXIT = {
  OK: 0,
  FAILURE: 1,
  USAGE: 2,
  NOT_FOUND: 3,
  REFUSED: 4,
  UNAVAILABLE: 5,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends the command with a message for people and an exit code for scripts. */
export class CliError extends Error {
  override readonly name: string = 'CliError';
  readonly exitCode: ExitCode;
  readonly fields: readonly FieldError[];

  constructor(exitCode: ExitCode, message: string, fields: readonly FieldError[] = []) {
    super(message);
    this.exitCode = exitCode;
    this.fields = fields;
  }
}

/** The exit code for an HTTP status of the REST interface. 504 is a plain failure: the outcome is unknown, not refused. */
export function exitCodeOfStatus(status: number): ExitCode {
  if (status < 400) return EXIT.OK;
  if (status === 404) return EXIT.NOT_FOUND;
  if (status === 429 || status === 503) return EXIT.UNAVAILABLE;
  if (status === 400 || status === 413 || status === 415 || status === 422 || status === 431) return EXIT.REFUSED;
  return EXIT.FAILURE;
}

export function exitCodeOfError(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof DistricError) return exitCodeOfStatus(error.status);
  return EXIT.FAILURE;
}

/** The message, then one indented line for each field at fault. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = error instanceof DistricError ? `${error.code}: ` : '';
  const fields = error instanceof CliError || error instanceof DistricError ? error.fields : [];
  return [`${code}${error.message}`, ...fields.map(describeField)].join('\n');
}

function describeField({ field, reason }: FieldError): string {
  return field === '' ? `  ${reason}` : `  ${field}: ${reason}`;
}
