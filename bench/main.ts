/** `npm run bench`: figures beside a peer's from the same run, as a table and, with `--json`, as a file. */
import { statfsSync } from 'node:fs';
import { BenchRun } from './bench-run.ts';
import { measureIngest } from './ingest.ts';
import { parseBenchOptions, USAGE, type BenchOptions } from './options.ts';
import { buildEtcd, type EtcdPrograms } from './peers/etcd.ts';
import { measureRaft } from './raft.ts';
import { createReport, renderTable, writeReport, type Row } from './report.ts';
import { measureRpc } from './rpc.ts';
import { measureSnapshot } from './snapshot.ts';
import { measureSwim } from './swim.ts';
import { measureWire } from './wire.ts';
import { measureWorkflows } from './workflows.ts';

/** As a shell reports a program that Ctrl-C ended. */
const EXIT_INTERRUPTED = 130;
const TMPFS_MAGIC = 0x01021994;

async function main(options: BenchOptions): Promise<boolean> {
  const run = new BenchRun(options);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void run.interrupt().finally(() => process.exit(EXIT_INTERRUPTED)));
  }
  if (statfsSync(options.dataRoot).type === TMPFS_MAGIC) {
    run.progress(`${options.dataRoot} lies in memory, where a sync costs nothing: choose a disk with --data`);
  }
  const rows: Row[] = [];
  const besideEtcd = options.suites.includes('raft') || options.suites.includes('ingest');
  const etcd = besideEtcd ? await peerPrograms(run) : undefined;
  if (options.suites.includes('raft')) rows.push(...(await measureRaft(run, etcd)));
  if (options.suites.includes('ingest')) rows.push(...(await measureIngest(run, etcd)));
  if (options.suites.includes('workflows')) rows.push(...(await measureWorkflows(run)));
  if (options.suites.includes('rpc')) rows.push(...measureWire(), ...(await measureRpc(run)));
  if (options.suites.includes('snapshot')) rows.push(...(await measureSnapshot(run)));
  if (options.suites.includes('swim')) rows.push(...(await measureSwim(run)));

  const report = createReport(rows, run.failures.length);
  console.log(`${renderTable(rows)}\nfsync on everywhere; ${report.machine}; commit ${report.commit}`);
  for (const reason of run.failures) console.log(`FAILED ${reason}`);
  if (options.jsonFile !== undefined) writeReport(options.jsonFile, report);
  return report.ok;
}

async function peerPrograms(run: BenchRun): Promise<EtcdPrograms | undefined> {
  if (run.options.peer === 'none') return undefined;
  try {
    return await buildEtcd((line) => run.progress(line));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    run.fail(`left out: etcd, which needs Go and its module proxy (--peers none measures without it): ${reason}`);
    return undefined;
  }
}

if (process.argv.includes('--help')) console.log(USAGE);
else {
  try {
    process.exitCode = (await main(parseBenchOptions(process.argv.slice(2)))) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
