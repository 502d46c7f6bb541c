/**
 * System packages that some tests need. They are installed only by a root that asked for it (`--provision`)
 * or that is a CI machine (`CI=true`); anybody else is told what is left out, and nothing is touched.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, resolve } from 'node:path';

export interface SystemNeed {
  /** The program looked for in PATH, or its whole path. */
  program: string;
  /** The Debian package that brings it. */
  package: string;
  /** What cannot be shown without it. */
  neededFor: string;
}

export interface Asker {
  isRoot: boolean;
  isCi: boolean;
  hasFlag: boolean;
}

export interface ProvisionPlan {
  install: readonly SystemNeed[];
  leftOut: readonly SystemNeed[];
}

const INSTALL_LIMIT_MS = 5 * 60_000;

export function planProvision(missing: readonly SystemNeed[], asker: Asker): ProvisionPlan {
  const mayInstall = asker.isRoot && (asker.isCi || asker.hasFlag);
  return mayInstall ? { install: missing, leftOut: [] } : { install: [], leftOut: missing };
}

/** Installs what is missing if it may, and gives what stays missing. */
export function provision(needs: readonly SystemNeed[], args: readonly string[]): readonly SystemNeed[] {
  const missing = needs.filter(({ program }) => !isInPath(program));
  const plan = planProvision(missing, {
    isRoot: process.getuid?.() === 0,
    isCi: process.env['CI'] === 'true',
    hasFlag: args.includes('--provision'),
  });
  if (plan.install.length === 0) return plan.leftOut;
  const packages = plan.install.map((need) => need.package);
  console.log(`installing ${packages.join(', ')}`);
  try {
    aptGet('update', '-qq');
    aptGet('install', '-y', '-qq', '--no-install-recommends', ...packages);
  } catch (error) {
    console.error(`cannot install: ${error instanceof Error ? error.message : String(error)}`);
  }
  return plan.install.filter(({ program }) => !isInPath(program));
}

function aptGet(...args: string[]): void {
  execFileSync('apt-get', args, {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: INSTALL_LIMIT_MS,
  });
}

export function isInPath(program: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  // System programs live there even when a plain user's PATH does not say so.
  return [...folders, '/usr/sbin', '/sbin'].some((folder) => {
    try {
      accessSync(resolve(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
