import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A process of its own that a test can kill, limit and watch: what happens to files after a real crash. */
export interface ChildProgram {
  /** Lines the program has printed so far. */
  readonly lines: readonly string[];
  /** Resolves when `count` lines are there; rejects when the program ends before. */
  printed(count: number): Promise<void>;
  kill(): void;
  /** Exit code, or the name of the signal. */
  readonly exit: Promise<number | string>;
}

/**
 * Runs the source text of an ES module; `fileKibMax` makes the kernel refuse to let any of its files grow beyond
 * that (EFBIG): a disk that fails, without a special file system.
 */
export function startProgram(source: string, fileKibMax?: number): ChildProgram {
  const node = [process.execPath, '--input-type=module', '-e', source];
  const [command = '', ...args] =
    fileKibMax === undefined ? node : ['bash', '-c', `ulimit -f ${String(fileKibMax)}; exec "$@"`, 'bash', ...node];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const lines: string[] = [];
  let changed = (): void => undefined;
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => {
    lines.push(line);
    changed();
  });
  const exit = new Promise<number | string>((resolve) => {
    child.on('close', (code, signal) => {
      resolve(code ?? signal ?? 'unknown');
    });
  });
  const printed = (count: number): Promise<void> =>
    new Promise((resolve, reject) => {
      changed = () => {
        if (lines.length >= count) resolve();
      };
      changed();
      void exit.then((code) => {
        reject(new Error(`the program ended with ${String(code)} after ${String(lines.length)} lines`));
      });
    });
  return {
    lines,
    printed,
    exit,
    kill: () => {
      child.kill('SIGKILL');
    },
  };
}
