/**
 * The Go that programs for tests and benchmarks are built with: one that is installed when it is new enough, else the
 * pinned tool chain from the Go module proxy, checked against the hash below and kept in the user's cache. Debian's is
 * too old, and not every machine has `/usr/local/go/bin` in its PATH.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { unzip } from './zip.ts';

/** What `e2e/cluster/go.mod` needs. */
const VERSION_MIN = [1, 26] as const;
const PINNED = 'v0.0.1-go1.26.8';
/** SHA-256 of the archives, by Node's name of the processor. */
const ARCHIVES: Readonly<Record<string, Archive>> = {
  x64: {
    version: `${PINNED}.linux-amd64`,
    sha256: '30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7',
  },
  arm64: {
    version: `${PINNED}.linux-arm64`,
    sha256: '02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99',
  },
};
const INSTALLED = ['go', '/usr/local/go/bin/go'];
const PUBLIC_PROXY = 'https://proxy.golang.org';
const MODULE = 'golang.org/toolchain';
const FETCH_LIMIT_MS = 10 * 60_000;

export const CACHE_DIR = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'distric');

export interface Archive {
  version: string;
  sha256: string;
}

/** The `go` program; fetches it when there is none, which takes a minute. */
export async function goProgram(progress: (line: string) => void): Promise<string> {
  const installed = INSTALLED.find((program) => isNewEnough(versionOf(program)));
  if (installed !== undefined) return installed;
  const archive = process.platform === 'linux' ? ARCHIVES[process.arch] : undefined;
  if (archive === undefined) {
    throw new Error(`Go ${VERSION_MIN.join('.')} or newer must be installed on ${process.platform} ${process.arch}`);
  }
  return fetchedGo(archive, proxyOf(process.env['GOPROXY']), CACHE_DIR, progress);
}

/** What `go env GOVERSION` says, such as `go1.26.8`; empty without such a program. */
function versionOf(program: string): string {
  try {
    const env = { ...process.env, GOTOOLCHAIN: 'local' };
    return execFileSync(program, ['env', 'GOVERSION'], { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
}

export function isNewEnough(version: string): boolean {
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(version)?.map(Number) ?? [];
  const [majorMin, minorMin] = VERSION_MIN;
  if (major === undefined || minor === undefined) return false;
  return major > majorMin || (major === majorMin && minor >= minorMin);
}

/** The first proxy that `GOPROXY` names. Throws where it forbids them. */
export function proxyOf(setting: string | undefined): string {
  const proxies = (setting ?? '') === '' ? [PUBLIC_PROXY] : (setting ?? '').split(/[,|]/);
  const proxy = proxies.find((one) => /^https?:\/\//.test(one));
  if (proxy === undefined) throw new Error(`Go is neither installed nor to be had: GOPROXY is ${String(setting)}`);
  return proxy.replace(/\/$/, '');
}

/** From the cache, or else from the proxy; it gets its place only when it is complete. */
export async function fetchedGo(
  { version, sha256 }: Archive,
  proxy: string,
  cacheDir: string,
  progress: (line: string) => void,
): Promise<string> {
  const dir = join(cacheDir, `go-${version}-${sha256.slice(0, 16)}`);
  const program = join(dir, 'bin/go');
  if (existsSync(program)) return program;
  progress(`fetching Go ${version} (once)`);
  const answer = await fetch(`${proxy}/${MODULE}/@v/${version}.zip`, { signal: AbortSignal.timeout(FETCH_LIMIT_MS) });
  if (!answer.ok) throw new Error(`the module proxy answers ${String(answer.status)} for Go ${version}`);
  const archive = Buffer.from(await answer.arrayBuffer());
  const hash = createHash('sha256').update(archive).digest();
  if (!hash.equals(Buffer.from(sha256, 'hex'))) {
    throw new Error(`Go ${version} has the wrong hash ${hash.toString('hex')}`);
  }
  const unfinished = `${dir}.${String(process.pid)}`;
  try {
    unzip(archive, `${MODULE}@${version}/`, unfinished);
    nameModules(join(unfinished, 'src'));
    mkdirSync(cacheDir, { recursive: true });
    if (!existsSync(dir)) renameSync(unfinished, dir);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return program;
}

/** A module can't have others within it, so the archive has them by another name. */
function nameModules(dir: string): void {
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (entry.name === '_go.mod') cpSync(join(entry.parentPath, entry.name), join(entry.parentPath, 'go.mod'));
  }
}
