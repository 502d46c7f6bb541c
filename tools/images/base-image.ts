/**
 * The public base that the Dockerfiles start from, made here where there is no registry to pull it from: Debian by
 * debootstrap, this very Node and npm, and the certificate authorities that this machine trusts.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from './engine.ts';

const SUITE = 'bookworm';
const DEBOOTSTRAP_LIMIT_MS = 15 * 60_000;
const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';
const MODULES_DIR = 'usr/local/lib/node_modules';
/** What apt has fetched and its lists: of no use in an image. */
const LEFTOVERS = ['var/cache/apt', 'var/lib/apt/lists'];

export function makeBaseImage(engine: Engine, name: string): void {
  const root = mkdtempSync(join(tmpdir(), 'distric-base-'));
  try {
    execFileSync('debootstrap', ['--variant=minbase', '--include=ca-certificates', SUITE, root], {
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: DEBOOTSTRAP_LIMIT_MS,
    });
    for (const folder of LEFTOVERS) rmSync(join(root, folder), { recursive: true, force: true });
    cpSync(process.execPath, join(root, 'usr/local/bin/node'));
    const npmDir = join(execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim(), 'npm');
    cpSync(npmDir, join(root, MODULES_DIR, 'npm'), { recursive: true });
    for (const command of ['npm', 'npx']) {
      symlinkSync(`../lib/node_modules/npm/bin/${command}-cli.js`, join(root, 'usr/local/bin', command));
    }
    cpSync(AUTHORITIES, join(root, AUTHORITIES));
    const changes = ['CMD ["node"]', `ENV NODE_EXTRA_CA_CERTS=${AUTHORITIES}`].flatMap((one) => ['--change', one]);
    engine.run('sh', [
      '-c',
      'dir=$1; shift; tar -C "$dir" -c . | docker import "$@"',
      'sh',
      root,
      ...changes,
      '-',
      name,
    ]);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
