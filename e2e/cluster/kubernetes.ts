/** The test cluster as a whole: up, down and how it stands. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../until.ts';
import { baseObjects } from './base-objects.ts';
import { controlPlaneCommands, startPart } from './control-plane.ts';
import { Credentials } from './credentials.ts';
import { ADMIN_KUBECONFIG, NODES_MAX, nodePlans, STATE_DIR, type NodePlan } from './layout.ts';
import { connect } from './links.ts';
import { isRunning, run, startMachine, stopMachine } from './machine.ts';
import { ctr, startContainerd, startKubelet, startKubeProxy } from './node.ts';
import { writePauseImage } from './pause-image.ts';
import { buildPrograms, type Programs } from './programs.ts';
import { restoreSettings, saveSettings } from './settings.ts';

/** Seconds on a quiet machine. */
const API_READY_LIMIT_MS = 180_000;
const NODES_READY_LIMIT_MS = 180_000;

export type Progress = (line: string) => void;

/** Starts a fresh cluster; what an earlier one left, running or killed, is ended and removed first. */
export async function startCluster(nodesCount: number, progress: Progress): Promise<void> {
  const programs = await buildPrograms(progress);
  await stopCluster();
  mkdirSync(STATE_DIR, { recursive: true, mode: 0o700 });
  saveSettings();
  const nodes = nodePlans(nodesCount);
  for (const node of nodes) {
    await startMachine(node, programs.pause);
    connect(node);
  }
  const credentials = await Credentials.create();
  const commands = await controlPlaneCommands(programs, credentials);
  startPart(commands, 'etcd');
  startPart(commands, 'kube-apiserver');
  const pauseImage = writePauseImage(programs.pause, join(STATE_DIR, 'pause'));
  for (const node of nodes) {
    await startContainerd(node);
    ctr(node, ['images', 'import', pauseImage]);
  }
  await until('the API server is ready', API_READY_LIMIT_MS, () =>
    Promise.resolve(kubectl(programs, ['get', '--raw', '/readyz'])),
  );
  progress('the API server is ready');
  for (const part of ['kube-controller-manager', 'kube-scheduler', 'coredns', 'volumes'] as const) {
    startPart(commands, part);
  }
  for (const node of nodes) {
    await startKubelet(node, programs, credentials);
    await startKubeProxy(node, programs, credentials);
  }
  kubectl(programs, ['apply', '--server-side', '--filename', '-'], baseObjects());
  await nodesReady(programs, nodes);
}

async function nodesReady(programs: Programs, nodes: readonly NodePlan[]): Promise<void> {
  const ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
  for (const { name } of nodes) {
    await until(`${name} is ready`, NODES_READY_LIMIT_MS, () =>
      Promise.resolve(kubectl(programs, ['get', 'node', name, '-o', ready]) === 'True' ? true : undefined),
    );
  }
  await until('the default service account', NODES_READY_LIMIT_MS, () =>
    Promise.resolve(kubectl(programs, ['get', 'serviceaccount', 'default'])),
  );
}

/** Ends what `startCluster` started, and removes what it made; nothing to do when there is none. */
export async function stopCluster(): Promise<void> {
  if (!existsSync(STATE_DIR)) return;
  // The first node last: the links of the others end in it.
  for (const node of nodePlans(NODES_MAX).toReversed()) await stopMachine(node);
  restoreSettings();
  rmSync(STATE_DIR, { recursive: true, force: true });
}

/** The nodes that run. */
export function runningNodes(): NodePlan[] {
  return nodePlans(NODES_MAX).filter((node) => isRunning(node));
}

/** Throws with what kubectl said when it fails. */
export function kubectl(programs: Pick<Programs, 'kubectl'>, args: readonly string[], input = ''): string {
  return run(programs.kubectl, ['--kubeconfig', ADMIN_KUBECONFIG, ...args], input);
}

/** Makes an image archive (`docker save`) known to every node. */
export function loadImage(archive: string): void {
  const nodes = runningNodes();
  if (nodes.length === 0) throw new Error('the cluster is down');
  for (const node of nodes) ctr(node, ['images', 'import', archive]);
}
