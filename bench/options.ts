import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';

const SUITES = ['raft', 'ingest', 'workflows', 'rpc', 'snapshot', 'swim'] as const;
export type Suite = (typeof SUITES)[number];

export interface BenchOptions {
  suites: readonly Suite[];
  jsonFile?: string;
  peer: 'etcd' | 'none';
  quick: boolean;
  batchSize: number;
  callers: number;
  /** Where the data directories are made; should be on the disk that is to be measured. */
  dataRoot: string;
}

export const USAGE = `npm run bench -- [raft|ingest|workflows|rpc|snapshot|swim|all] [options]

  --json FILE        write the rows as JSON too
  --quick            shorter runs, for a look and not for a figure
  --peers etcd|none  whether raft and ingest are held against etcd, and swim against memberlist, in the same run (needs Go, to
                     build them once)
  --batch N          messages in a request (default 100)
  --callers N        requests under way at once (default 64)
  --data DIR         where the data lies (default the system's temporary directory)`;

/** Throws with a sentence for the user when an argument is wrong. */
export function parseBenchOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      peers: { type: 'string', default: 'etcd' },
      batch: { type: 'string', default: '100' },
      callers: { type: 'string', default: '64' },
      data: { type: 'string', default: tmpdir() },
    },
  });
  if (values.peers !== 'etcd' && values.peers !== 'none')
    throw new Error(`--peers is etcd or none, not ${values.peers}`);
  return {
    suites: suitesOf(positionals),
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
    peer: values.peers,
    quick: values.quick,
    batchSize: positiveInteger('--batch', values.batch, 10_000),
    callers: positiveInteger('--callers', values.callers, 10_000),
    dataRoot: values.data,
  };
}

function suitesOf(positionals: readonly string[]): readonly Suite[] {
  if (positionals.length === 0 || positionals.includes('all')) return SUITES;
  return positionals.map((name) => {
    const suite = SUITES.find((known) => known === name);
    if (suite === undefined) throw new Error(`there is no benchmark ${name}; there are ${SUITES.join(', ')} and all`);
    return suite;
  });
}

function positiveInteger(option: string, text: string, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new Error(`${option} is a whole number from 1 to ${max}, not ${text}`);
}
