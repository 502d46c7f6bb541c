/**
 * Writes the files that are made from the source; with `--check` it only compares, and fails when one is out of date.
 * One source each, so a page about the settings cannot say something else than the schema that checks them.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { accessMarkdown } from './generate-access.ts';
import { configurationMarkdown } from './generate-configuration.ts';
import { crdFiles } from './generate-crds.ts';
import { protocolMarkdown } from './generate-protocol.ts';
import { ROOT_DIR } from './steps.ts';

const GENERATED: readonly { path: string; text: () => string }[] = [
  // Once for `kubectl apply`, once for the chart, which can take in only what is inside it.
  ...Object.entries(crdFiles()).flatMap(([name, text]) =>
    ['crds', 'charts/distric-crds/files'].map((folder) => ({ path: `${folder}/${name}`, text: () => text })),
  ),
  { path: 'docs/access.md', text: accessMarkdown },
  { path: 'docs/configuration.md', text: configurationMarkdown },
  { path: 'docs/protocol.md', text: protocolMarkdown },
];

const checkOnly = process.argv.includes('--check');
const stale: string[] = [];
for (const { path, text } of GENERATED) {
  const file = join(ROOT_DIR, path);
  const wanted = await format(text(), { ...(await resolveConfig(file)), filepath: file });
  if (existsSync(file) && readFileSync(file, 'utf8') === wanted) continue;
  stale.push(path);
  if (checkOnly) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, wanted);
  console.log(`written ${path}`);
}
if (checkOnly && stale.length > 0) {
  console.error(`out of date: ${stale.join(', ')} (run "npm run generate" and commit the result)`);
  process.exitCode = 1;
}
