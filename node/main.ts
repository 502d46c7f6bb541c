#!/usr/bin/env node
/** The node program: reads its configuration, starts its role, ends it cleanly on SIGTERM or SIGINT. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { parse, stringify } from 'yaml';
import { loadConfig, type NodeConfig } from '../api/config.ts';
import { SETTINGS } from '../api/config-schema.ts';
import { DistricError } from '../base/errors.ts';
import { startNode } from './run/node-process.ts';

const USAGE = `Usage: node main.ts --config FILE [--role coordinator|worker] [--node-id ID] [settings]

Runs one node of a DistriC cluster. Settings come from flags, then DISTRIC_* variables, then the file.

  --config FILE     YAML configuration (or DISTRIC_CONFIG)
  --print-config    show the configuration as it would be used, and exit
  --help            this text

Every setting is in docs/configuration.md; as a flag: ${SETTINGS.slice(0, 6)
  .map(({ flag }) => flag)
  .join(' ')} …
`;

type Flags = Record<string, string | undefined>;

function readFlags(): { flags: Flags; printConfig: boolean; help: boolean } {
  const options: Record<string, { type: 'string' | 'boolean' }> = {
    config: { type: 'string' },
    'print-config': { type: 'boolean' },
    help: { type: 'boolean' },
  };
  for (const { flag } of SETTINGS) options[flag.slice(2)] = { type: 'string' };
  const { values } = parseArgs({ options, strict: true, allowPositionals: false });
  const { 'print-config': printConfig, help, ...rest } = values;
  const texts = Object.entries(rest).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return { flags: Object.fromEntries(texts), printConfig: printConfig === true, help: help === true };
}

function readConfig(flags: Flags): NodeConfig {
  const { config: flagFile, ...settings } = flags;
  const path = flagFile ?? process.env['DISTRIC_CONFIG'];
  const file: unknown = path === undefined ? undefined : parse(readFileSync(path, 'utf8'));
  return loadConfig({ file, env: process.env, flags: settings });
}

/** What is printed ends up in tickets and chats. */
function withoutSecrets({ tls, ...config }: NodeConfig): NodeConfig {
  const token = tls.join.token === '' ? '' : '[redacted]';
  return { ...config, tls: { ...tls, join: { ...tls.join, token } } };
}

async function main(): Promise<void> {
  const { flags, printConfig, help } = readFlags();
  if (help) {
    process.stdout.write(USAGE);
    return;
  }
  const config = readConfig(flags);
  if (printConfig) {
    process.stdout.write(stringify(withoutSecrets(config)));
    return;
  }
  const node = await startNode(config, `${hostname()}:${String(config.metrics.port)}`);
  process.on('SIGHUP', () => {
    node.reload();
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      void node.stop(signal).then((code) => process.exit(code));
    });
  }
}

try {
  await main();
} catch (error) {
  const usage = error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof DistricError)
    for (const { field, reason } of error.fields) process.stderr.write(`  ${field}: ${reason}\n`);
  if (usage) process.stderr.write(`\n${USAGE}`);
  process.exit(usage ? 2 : 1);
}
