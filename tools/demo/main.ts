/**
 * `npm start`: a real cluster on this machine, fed with the real webhook deliveries of examples/github, broken on
 * purpose half-way, and checked from outside at the end. Exits non-zero when a promise was not kept.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { createReport, figure, type Row, writeReport } from '../../bench/report.ts';
import { RestClient } from '../../cli/client.ts';
import { applyDocuments } from '../../cli/commands/apply.ts';
import { loadDocuments } from '../../cli/documents.ts';
import { LocalCluster } from '../../cli/local-cluster.ts';
import { deliveryMessage, type GithubMessage, loadDeliveries } from '../../examples/github/deliveries.ts';
import { startReceiver } from '../../examples/github/receiver.ts';
import { killBusyWorker, killLeader, untilQuiet } from './faults.ts';
import { replay, type ReplayResult } from './replay.ts';
import { type Verification, verify } from './verify.ts';
import { View } from './view.ts';

const EXAMPLE_DIR = fileURLToPath(new URL('../../examples/github', import.meta.url));
const ROUNDS_DEFAULT = 3;
/** Every n-th notice is answered 503 at first, so that retries are at work. */
const FAIL_EVERY = 25;
const QUIET_MS_MAX = 40_000;

const USAGE = `Usage: npm start -- [--rounds N] [--json FILE]

Starts 3 coordinators and 2 workers, applies examples/github, replays its deliveries N times undisturbed and N times
while the leader and a worker are killed, then checks from outside that nothing acknowledged was lost.

  --rounds N    rounds of 329 deliveries for each of the two parts (default ${String(ROUNDS_DEFAULT)})
  --json FILE   also write the figures as JSON
`;

interface Outcome {
  calm: ReplayResult;
  rough: ReplayResult;
  failoverMs: number;
  verification: Verification;
  instancesPerSecond: number;
  notices: { delivered: number; repeated: number; failed: number };
}

function rounds(first: number, count: number): GithubMessage[] {
  const deliveries = loadDeliveries();
  return Array.from({ length: count }, (_, i) => deliveries.map((one) => deliveryMessage(one, first + i))).flat();
}

async function run(view: View, roundCount: number, dir: string, onCluster: (cluster: LocalCluster) => void) {
  const receiver = await startReceiver({ failEvery: FAIL_EVERY });
  try {
    view.say('starting 3 coordinators and 2 workers, real processes, data synced to disk');
    const cluster = await LocalCluster.start({
      dataDir: join(dir, 'cluster'),
      coordinators: 3,
      workers: 2,
      pluginDirs: [join(EXAMPLE_DIR, 'plugins')],
      env: {
        ...process.env,
        GITHUB_EXAMPLE_OUT: join(dir, 'github'),
        GITHUB_EXAMPLE_RECEIVER: receiver.url,
      },
    });
    onCluster(cluster);
    const outcome = await runOn(cluster, view, roundCount);
    const counts = [...receiver.delivered.values()];
    const notices = {
      delivered: counts.length,
      repeated: counts.filter((count) => count > 1).length,
      failed: receiver.failed.size,
    };
    return { ...outcome, notices };
  } finally {
    await receiver.close();
  }
}

async function runOn(cluster: LocalCluster, view: View, roundCount: number): Promise<Omit<Outcome, 'notices'>> {
  const { servers } = cluster;
  view.say(`ready; the leader is ${(await cluster.leader()) ?? 'not elected yet'}`);
  const io = {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    env: process.env,
    cwd: process.cwd(),
  };
  const changes = await applyDocuments(new RestClient(servers), await loadDocuments([EXAMPLE_DIR], io), false);
  view.say(`applied ${String(changes.length)} documents of examples/github: rules and workflows`);

  const calmMessages = rounds(1, roundCount);
  const calmBar = view.progress('undisturbed', calmMessages.length);
  const calmStartedMs = performance.now();
  const calm = await replay(servers, calmMessages, (done) => {
    calmBar.update(done);
  });
  calmBar.end();
  await untilQuiet(cluster, QUIET_MS_MAX, () => undefined);
  const calmInstances = [...calm.acknowledged.values()].reduce((sum, { instances }) => sum + instances.length, 0);
  const instancesPerSecond = calmInstances / ((performance.now() - calmStartedMs) / 1_000);

  const { rough, failoverMs } = await roughPart(cluster, view, rounds(roundCount + 1, roundCount));
  const quietBar = view.progress('finishing', 1);
  await untilQuiet(cluster, QUIET_MS_MAX, (active) => {
    quietBar.update(active === 0 ? 1 : 0, `${String(active)} instances still run`);
  });
  quietBar.end();

  const acknowledged = new Map([...calm.acknowledged, ...rough.acknowledged]);
  const checkBar = view.progress('checking', acknowledged.size);
  const verification = await verify(servers, acknowledged, (done) => {
    checkBar.update(done);
  });
  checkBar.end();
  return { calm, rough, failoverMs, verification, instancesPerSecond };
}

/** The second half: the leader dies at a third of the way, a busy worker at two thirds; both come back. */
async function roughPart(cluster: LocalCluster, view: View, messages: readonly GithubMessage[]) {
  const bar = view.progress('with faults', messages.length);
  const faults: Promise<void>[] = [];
  let note = '';
  let killedMs = 0;
  const begin = (fault: () => Promise<string>): void => {
    faults.push(
      fault().then((text) => {
        note = text;
      }),
    );
  };
  let leaderKilled = false;
  let workerKilled = false;
  const rough = await replay(cluster.servers, messages, (done) => {
    bar.update(done, note);
    if (!leaderKilled && done >= messages.length / 3) {
      leaderKilled = true;
      begin(async () => {
        const { leader, atMs } = await killLeader(cluster);
        killedMs = atMs;
        return `killed -9 the leader ${leader}`;
      });
    }
    if (!workerKilled && done >= (2 * messages.length) / 3) {
      workerKilled = true;
      begin(async () => {
        const killed = await killBusyWorker(cluster);
        return killed === undefined
          ? 'no worker was busy'
          : `killed -9 ${killed.worker} with ${String(killed.running)} tasks running`;
      });
    }
  });
  await Promise.all(faults);
  bar.end();
  for (const { id } of cluster.nodes) if (!cluster.isRunning(id)) await cluster.restart(id);
  view.say('the killed nodes are back on their data');
  // The first acknowledgement of a message that was sent after the leader was gone.
  const after = rough.answers.filter(({ beganMs }) => beganMs > killedMs).map(({ endedMs }) => endedMs - killedMs);
  return { rough, failoverMs: after.length === 0 ? Infinity : Math.min(...after) };
}

function rowsOf(outcome: Outcome, roundCount: number): Row[] {
  const { calm, rough, verification, failoverMs, instancesPerSecond } = outcome;
  const acknowledged = calm.acknowledged.size + rough.acknowledged.size;
  const sent = 2 * roundCount * loadDeliveries().length;
  const must = (name: string, value: number, unit: string, ok: boolean): Row => ({ ...figure(name, value, unit), ok });
  return [
    must('sent', sent, 'messages', true),
    must('acknowledged', acknowledged, 'messages', acknowledged === sent),
    must('lost', verification.lost.length, 'messages', verification.lost.length === 0),
    must(
      'duplicateResults',
      verification.duplicateResults.length,
      'results',
      verification.duplicateResults.length === 0,
    ),
    must('unfinished', verification.unfinished.length, 'instances', verification.unfinished.length === 0),
    must('failoverMs', failoverMs, 'ms', Number.isFinite(failoverMs)),
    figure('tasks', verification.tasks, 'tasks'),
    figure('retries', verification.retries, 'attempts'),
    figure('redispatches', verification.redispatches, 'attempts'),
    figure('messagesPerSecond', (1_000 * calm.acknowledged.size) / calm.tookMs, 'messages/s'),
    figure('instancesPerSecond', instancesPerSecond, 'instances/s'),
    figure('p50Ms', calm.latencies.percentileMs(0.5), 'ms'),
    figure('p99Ms', calm.latencies.percentileMs(0.99), 'ms'),
    figure('notices', outcome.notices.delivered, 'deliveries'),
    figure('noticesRepeated', outcome.notices.repeated, 'deliveries'),
    figure('noticesFailedFirst', outcome.notices.failed, 'deliveries'),
  ];
}

function printTables(rows: readonly Row[], { verification, calm, rough }: Outcome): void {
  const plain = { style: { head: [], border: [] } };
  const perRule = new Table({ head: ['rule', 'messages matched'], ...plain });
  for (const [rule, count] of [...verification.matchedPerRule].sort((a, b) => b[1] - a[1])) perRule.push([rule, count]);
  const figures = new Table({ head: ['measured', 'value', 'unit', ''], colAligns: ['left', 'right'], ...plain });
  for (const { name, value, unit, ok } of rows) figures.push([name, value, unit, ok ? 'ok' : 'FAILED']);
  for (const [status, count] of verification.instancesByStatus) figures.push([`instances ${status}`, count, '', 'ok']);
  process.stdout.write(`\n${perRule.toString()}\n${figures.toString()}\n`);
  for (const { id, reason } of [...calm.failed, ...rough.failed].slice(0, 5)) {
    process.stdout.write(`not acknowledged: ${id}: ${reason}\n`);
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string' }, json: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const roundCount = Number(values.rounds ?? ROUNDS_DEFAULT);
  if (!Number.isInteger(roundCount) || roundCount < 1 || roundCount > 100) {
    process.stderr.write(`--rounds takes a whole number from 1 to 100, not ${String(values.rounds)}\n`);
    return 2;
  }
  const view = new View();
  const dir = await mkdtemp(join(tmpdir(), 'distric-start-'));
  let cluster: LocalCluster | undefined;
  const cleanUp = async (): Promise<void> => {
    await cluster?.stop();
    await rm(dir, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      view.say('interrupted: stopping the cluster');
      void cleanUp().finally(() => process.exit(130));
    });
  }
  try {
    const outcome = await run(view, roundCount, dir, (started) => {
      cluster = started;
    });
    const rows = rowsOf(outcome, roundCount);
    printTables(rows, outcome);
    const report = createReport(rows, 0);
    if (values.json !== undefined) writeReport(values.json, report);
    await cleanUp();
    view.say(
      report.ok ? 'every promise was kept; nothing is left running' : 'a promise was NOT kept: see FAILED above',
    );
    return report.ok ? 0 : 1;
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

process.exitCode = await main();
