/**
 * The programs of the cluster, built from pinned sources (`go.mod`, `dns/go.mod`) once into the user's cache and used as
 * long as the sources stay the same. Go is the only tool needed.
 */
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE_DIR, goProgram } from '../../tools/go/go.ts';

const BUILD_LIMIT_MS = 40 * 60_000;
/** One program, called by the name of the part that it is to be. */
const PARTS = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-proxy',
  'kube-scheduler',
  'kubectl',
  'kubelet',
  'volumes',
];

interface Build {
  name: string;
  /** Relative to this folder; a change of any makes a new build. */
  sources: readonly string[];
  folder: string;
  args: readonly string[];
}

const PLAIN = ['build', '-trimpath', '-mod=readonly', '-o'];
const SMALL = '-ldflags=-s -w';
const PAUSE: Build = {
  name: 'pause',
  sources: ['go.mod', 'pause/main.go'],
  folder: '.',
  args: [...PLAIN, 'pause', SMALL, './pause'],
};
const KUBERNETES: Build = {
  name: 'kubernetes',
  sources: ['go.mod', 'go.sum', 'main.go', 'volumes.go'],
  folder: '.',
  args: [...PLAIN, 'kubernetes', `${SMALL} ${versionFlags()}`, '.'],
};
const COREDNS: Build = {
  name: 'coredns',
  sources: ['dns/go.mod', 'dns/go.sum', 'dns/main.go'],
  folder: 'dns',
  args: [...PLAIN, 'coredns', SMALL, '.'],
};

/** What Kubernetes says of itself is put in when it is linked; charts ask for it. */
function versionFlags(): string {
  const goMod = readFileSync(join(import.meta.dirname, 'go.mod'), 'utf8');
  const [, version = '', major = '', minor = ''] = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\S+)/.exec(goMod) ?? [];
  const values = { gitVersion: version, gitMajor: major, gitMinor: minor };
  const variable = 'k8s.io/component-base/version.';
  return Object.entries(values)
    .map(([name, value]) => `-X ${variable}${name}=${value}`)
    .join(' ');
}

export interface Programs {
  /** The folder with `etcd`, `kube-apiserver`, `kubectl` and so on. */
  kubernetesDir: string;
  kubectl: string;
  coredns: string;
  pause: string;
}

export async function buildPrograms(progress: (line: string) => void): Promise<Programs> {
  const kubernetesDir = await built(KUBERNETES, progress);
  return {
    kubernetesDir,
    kubectl: join(kubernetesDir, 'kubectl'),
    coredns: join(await built(COREDNS, progress), 'coredns'),
    pause: join(await built(PAUSE, progress), 'pause'),
  };
}

/** The folder of a finished build; it gets its name only when it is complete. */
async function built(build: Build, progress: (line: string) => void): Promise<string> {
  const hash = createHash('sha256').update(build.args.join(' '));
  for (const source of build.sources) hash.update(readFileSync(join(import.meta.dirname, source)));
  const dir = join(CACHE_DIR, `${build.name}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(dir)) return dir;
  const go = await goProgram(progress);
  progress(`building ${build.name} (once; the first time takes minutes)`);
  const unfinished = `${dir}.${String(process.pid)}`;
  mkdirSync(unfinished, { recursive: true });
  try {
    const args = build.args.map((arg) => (arg === build.name ? join(unfinished, arg) : arg));
    run(go, args, join(import.meta.dirname, build.folder));
    if (build.name === 'kubernetes') for (const part of PARTS) symlinkSync('kubernetes', join(unfinished, part));
    renameSync(unfinished, dir);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return dir;
}

function run(go: string, args: readonly string[], cwd: string): void {
  const flags = [process.env['GOFLAGS'], '-p=2', '-buildvcs=false'].filter(Boolean).join(' ');
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: flags };
  try {
    execFileSync('nice', ['-n', '10', go, ...args], {
      cwd,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: BUILD_LIMIT_MS,
    });
  } catch (error) {
    const detail = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new Error(`${go} ${args.join(' ')} failed: ${detail}`, { cause: error });
  }
}
