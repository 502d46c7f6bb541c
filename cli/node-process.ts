/** One node as a process of its own: start it, know it again, signal it, read its log. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const POLL_MS = 25;
const LOG_TAIL_BYTES = 64 * 1024;

/** The node program beside this package's cli/: the source, or what the compiler made of it. */
const NODE_PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../node/main.ts' : '../node/main.js', import.meta.url),
);

/** Settings of the shell that `up` runs in would override those of every single node; only these are meant for all. */
const SHARED_VARIABLES = new Set(['DISTRIC_HTTP_ALLOW']);

export interface StartedProcess {
  pid: number;
  /** Size of the log before the start: what follows is from this process. */
  logOffset: number;
}

/** Starts a node that outlives this process; its output is appended to `logFile`. */
export async function startNodeProcess(
  configFile: string,
  logFile: string,
  env: NodeJS.ProcessEnv,
): Promise<StartedProcess> {
  await mkdir(path.dirname(logFile), { recursive: true });
  const log = await open(logFile, 'a');
  try {
    const logOffset = (await log.stat()).size;
    const child = spawn(process.execPath, [NODE_PROGRAM, '--config', configFile], {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: nodeEnvironment(env),
    });
    const pid = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('spawn', () => {
        if (child.pid !== undefined) resolve(child.pid);
      });
    });
    child.unref();
    return { pid, logOffset };
  } finally {
    await log.close();
  }
}

export function nodeEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !name.startsWith('DISTRIC_') || SHARED_VARIABLES.has(name)),
  );
}

/** True while `pid` is the node that was started with this configuration file: pids are given to others later. */
export function isNodeProcess(pid: number, configFile: string): boolean {
  return commandOf(pid).includes(configFile);
}

function commandOf(pid: number): string {
  try {
    // A zombie has an empty command line, so it counts as gone.
    if (existsSync('/proc/self/cmdline')) return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8');
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return '';
  }
}

/** Signals the node if it is still the one we started; false if it is gone. */
export function signalNode(pid: number, configFile: string, signal: NodeJS.Signals): boolean {
  if (!isNodeProcess(pid, configFile)) return false;
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** True when the node is gone within `timeoutMs`. */
export async function waitUntilGone(pid: number, configFile: string, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isNodeProcess(pid, configFile)) {
    if (performance.now() >= deadline) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** The last `count` lines of bytes [offset, end) of a log; none when there is no log. */
export async function lastLines(file: string, count: number, offset = 0, end?: number): Promise<string[]> {
  const size = end ?? (await fileSize(file));
  // A hundred lines rarely need more than the last piece; a longer one is read when they do.
  for (let pieceBytes = LOG_TAIL_BYTES; ; pieceBytes *= 4) {
    const start = Math.max(offset, size - pieceBytes);
    const text = await readPiece(file, start, size);
    const lines = text.split('\n').filter((line) => line !== '');
    // The first line of a piece may be cut.
    if (start <= offset) return lines.slice(-count);
    if (lines.length > count) return lines.slice(-count);
  }
}

/** 0 when there is no such file. */
export async function fileSize(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}

/** The text of bytes [start, end) of a file. */
export async function readPiece(file: string, start: number, end: number): Promise<string> {
  if (end <= start) return '';
  const handle = await open(file, 'r');
  try {
    const bytes = Buffer.alloc(end - start);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
    return bytes.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
