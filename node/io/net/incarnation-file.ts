/**
 * The number that all incarnations of a node so far lie below: kept over restarts, since only a higher one can refute
 * what was said of the life before.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';

export interface Incarnations {
  ceiling: number;
  /** Resolves once the number is durable; each call is for a higher one. */
  keep: (ceiling: number) => Promise<void>;
}

/** A file that holds something else is of no use: then the clock of the wall says where to begin, as without one. */
export function incarnationFile(dir: string, nodeId: string, wallMs: number): Incarnations {
  mkdirSync(dir, { recursive: true });
  // Several workers may share a directory.
  const file = join(dir, `incarnation-${nodeId}`);
  // One write at a time: a slow one must not overtake the next.
  let last = Promise.resolve();
  const keep = (ceiling: number): Promise<void> => {
    last = last.catch(() => undefined).then(() => write(dir, file, ceiling));
    return last;
  };
  return { ceiling: read(file, wallMs), keep };
}

/** For a node that has no disk: each life begins above the clock of the wall, as milliseconds. */
export function incarnationsByClock(wallMs: number): Incarnations {
  return { ceiling: wallMs, keep: () => Promise.resolve() };
}

function read(file: string, wallMs: number): number {
  if (!existsSync(file)) return 0;
  const text = readFileSync(file, 'utf8').trim();
  return /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : wallMs;
}

async function write(dir: string, file: string, ceiling: number): Promise<void> {
  await synced(`${file}.new`, 'w', `${String(ceiling)}\n`);
  await rename(`${file}.new`, file);
  await synced(dir, 'r', '');
}

async function synced(path: string, flags: 'w' | 'r', text: string): Promise<void> {
  const handle = await open(path, flags, 0o600);
  try {
    if (text !== '') await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
