import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { CACHE_DIR, goProgram } from '../../tools/go/go.ts';
import { runProgram } from '../children.ts';

const BUILD_LIMIT_MS = 10 * 60_000;

/**
 * Builds the commands in `dir` (see its go.mod), once into the user's cache, and reuses them as long as the sources stay
 * the same. Gives their paths by name. Throws when there is neither Go nor a module proxy.
 */
export async function buildGo<Name extends string>(
  peer: string,
  dir: string,
  commands: Readonly<Record<Name, string>>,
  progress: (line: string) => void,
): Promise<Record<Name, string>> {
  const entries = Object.entries<string>(commands);
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum', ...entries.map(([, folder]) => join(folder, 'main.go'))]) {
    hash.update(readFileSync(join(dir, file)));
  }
  const cacheDir = join(CACHE_DIR, `${peer}-${hash.digest('hex').slice(0, 16)}`);
  const programs = Object.fromEntries(entries.map(([name]) => [name, join(cacheDir, name)])) as Record<Name, string>;
  if (Object.values<string>(programs).every((program) => existsSync(program))) return programs;
  mkdirSync(cacheDir, { recursive: true });
  progress(`building ${peer} into ${cacheDir} (once; about a minute)`);
  const go = await goProgram(progress);
  for (const [name, folder] of entries) {
    const args = ['build', '-trimpath', '-mod=readonly', '-o', join(cacheDir, name), `./${folder}`];
    await runProgram(go, args, { cwd: dir, timeoutMs: BUILD_LIMIT_MS });
  }
  return programs;
}
