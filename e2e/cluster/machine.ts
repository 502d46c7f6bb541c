/**
 * A node is a set of namespaces on this machine: network, mounts and processes. Ending its first process ends all that
 * runs in it, pods included, and the kernel takes back its links, routes, packet filters and mounts. The machine's own
 * stay as they are, but for one link to the nodes, which goes with them.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { until } from '../until.ts';
import { makeCgroups, removeCgroups } from './cgroups.ts';
import { writeInto, type NodePlan } from './layout.ts';

const COMMAND_LIMIT_MS = 120_000;
const OUTPUT_BYTES_MAX = 64 * 1024 ** 2;
const START_LIMIT_MS = 10_000;
const END_LIMIT_MS = 30_000;
/** Folders of this machine that each node has for itself. */
const OWN_FOLDERS = ['/run', '/var/log'];

/** The output of a program; what it said is in the error if it fails. */
export function run(program: string, args: readonly string[], input = ''): string {
  const limits = { timeout: COMMAND_LIMIT_MS, maxBuffer: OUTPUT_BYTES_MAX };
  return execFileSync(program, args, { encoding: 'utf8', input, stdio: 'pipe', ...limits });
}

/** The name by which the first process of a node is known for certain, whoever else got its number since. */
const initName = (node: NodePlan): string => join(node.dir, 'init');
const logFile = (node: NodePlan, name: string): string => join(node.dir, 'logs', `${name}.log`);
const pidFile = (node: NodePlan, name: string): string => join(node.dir, 'pids', name);

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0', 1)[0] ?? '';
  } catch {
    return '';
  }
}

function childOf(pid: string): string | undefined {
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return first === '' ? undefined : first;
  } catch {
    return undefined;
  }
}

/** The process id of a node's first process, while it runs. */
function initPid(node: NodePlan): string | undefined {
  const file = pidFile(node, 'init');
  if (!existsSync(file)) return undefined;
  const pid = readFileSync(file, 'utf8');
  return commandOf(pid) === initName(node) ? pid : undefined;
}

export function runningPid(node: NodePlan): string {
  const pid = initPid(node);
  if (pid === undefined) throw new Error(`${node.name} does not run`);
  return pid;
}

export function isRunning(node: NodePlan): boolean {
  return initPid(node) !== undefined;
}

/** The command line that runs a program inside a node. */
function commandIn(node: NodePlan, command: readonly string[]): string[] {
  return ['--target', runningPid(node), '--net', '--mount', '--pid', '--', ...command];
}

export function runIn(node: NodePlan, command: readonly string[], input = ''): string {
  return run('nsenter', commandIn(node, command), input);
}

export async function startMachine(node: NodePlan, pause: string): Promise<void> {
  mkdirSync(node.dir, { recursive: true });
  symlinkSync(pause, initName(node));
  const separate = ['--net', '--mount', '--pid', '--fork', '--mount-proc', '--propagation', 'private'];
  const child = spawn('unshare', [...separate, initName(node)], { detached: true, stdio: 'ignore' });
  child.unref();
  const pid = await until(`the first process of ${node.name}`, START_LIMIT_MS, () => {
    const inner = childOf(String(child.pid));
    return Promise.resolve(inner !== undefined && commandOf(inner) === initName(node) ? inner : undefined);
  });
  writeInto(pidFile(node, 'init'), pid);
  for (const folder of OWN_FOLDERS) mkdirSync(join(node.dir, folder), { recursive: true });
  runIn(node, ['mount', '--make-rshared', '/']);
  for (const folder of OWN_FOLDERS) runIn(node, ['mount', '--bind', join(node.dir, folder), folder]);
  makeCgroups(node.cgroup);
}

/** Ends all that runs in a node; nothing to do when it does not run. */
export async function stopMachine(node: NodePlan): Promise<void> {
  const pid = initPid(node);
  if (pid !== undefined) {
    process.kill(Number(pid), 'SIGKILL');
    // The first process of a namespace is gone only when all others are.
    await until(`${node.name} has ended`, END_LIMIT_MS, () =>
      Promise.resolve(existsSync(`/proc/${pid}`) ? undefined : true),
    );
  }
  await removeCgroups(node.cgroup);
}

/** Starts a program in a node that goes on until the node ends; its output goes to a log of its name. */
export function startIn(node: NodePlan, name: string, command: readonly string[]): void {
  mkdirSync(dirname(logFile(node, name)), { recursive: true });
  const log = openSync(logFile(node, name), 'a');
  const child = spawn('nsenter', commandIn(node, command), { detached: true, stdio: ['ignore', log, log] });
  child.unref();
  closeSync(log);
}
