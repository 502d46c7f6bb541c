import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { OpenSession } from '../session.ts';

/** From the package.json above this file: beside cli/, or beside dist/ when compiled. */
export function packageVersion(): string {
  for (let folder = new URL('..', import.meta.url); ; folder = new URL('..', folder)) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8'));
      if (typeof parsed === 'object' && parsed !== null && 'version' in parsed) return String(parsed.version);
    } catch {
      if (folder.pathname === '/') return 'unknown';
    }
  }
}

export function addVersion(parent: Command, open: OpenSession): void {
  parent
    .command('version')
    .description('print the version of this program')
    .addHelpText('after', '\nExample:\n  $ distric version -o json')
    .action((_options: unknown, command: Command) => {
      const version = { distric: packageVersion(), node: process.version };
      open(command).print(version, () => `distric ${version.distric} (node ${version.node})`);
    });
}
