/** For tests: a terminal that keeps what was written to it. */
import type { Io } from './terminal.ts';

export interface CapturedIo extends Io {
  out(): string;
  err(): string;
}

export interface CapturedIoOptions {
  cwd?: string;
  env?: Record<string, string>;
  stdin?: string;
  isTTY?: boolean;
  signal?: AbortSignal;
  onWrite?: (text: string) => void;
}

export function captureIo(options: CapturedIoOptions = {}): CapturedIo {
  const out: string[] = [];
  const err: string[] = [];
  const keep = (text: string): void => {
    out.push(text);
    options.onWrite?.(text);
  };
  return {
    stdout: { write: keep, isTTY: options.isTTY ?? false },
    stderr: { write: (text) => err.push(text) },
    stdin: input(options.stdin ?? ''),
    env: options.env ?? {},
    cwd: options.cwd ?? '/',
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    out: () => out.join(''),
    err: () => err.join(''),
  };
}

async function* input(text: string): AsyncGenerator<string> {
  yield await Promise.resolve(text);
}
