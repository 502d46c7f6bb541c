/**
 * `npm run cluster -- up|load|down|status`: a real Kubernetes on this machine, for the end-to-end tests and for development.
 * Needs root, Go, and the system packages below (`--provision` installs them).
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ADMIN_KUBECONFIG, NODES_MAX } from './layout.ts';
import { loadImage, runningNodes, startCluster, stopCluster } from './kubernetes.ts';
import { CLUSTER_NEEDS } from '../../tools/cluster-needs.ts';
import { provision } from '../../tools/provision.ts';

const USAGE = 'usage: npm run cluster -- up [--nodes 1|2] | load [ARCHIVE…] | down | status';

const IMAGES_DIR = join(import.meta.dirname, '../../dist/images');

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { nodes: { type: 'string', default: '1' }, provision: { type: 'boolean', default: false } },
});
const nodesCount = Number(values.nodes);

switch (positionals[0]) {
  case 'up':
    await up();
    break;
  case 'load':
    load(positionals.slice(1));
    break;
  case 'down':
    await stopCluster();
    console.log('down');
    break;
  case 'status':
    status();
    break;
  default:
    console.error(USAGE);
    process.exitCode = 2;
}

async function up(): Promise<void> {
  if (!Number.isInteger(nodesCount) || nodesCount < 1 || nodesCount > NODES_MAX) throw new Error(USAGE);
  const missing = provision(CLUSTER_NEEDS, values.provision ? ['--provision'] : []);
  if (missing.length > 0) {
    throw new Error(`not installed: ${missing.map((need) => need.package).join(', ')}; --provision installs them`);
  }
  const startedMs = performance.now();
  await startCluster(nodesCount, (line) => console.log(line));
  console.log(`ready in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
  console.log(`export KUBECONFIG=${ADMIN_KUBECONFIG}`);
}

/** Makes images known to every node: those given, or all that `npm run images` made. */
function load(given: readonly string[]): void {
  const built = given.length === 0 ? readdirSync(IMAGES_DIR).filter((name) => name.endsWith('.tar')) : [];
  for (const archive of [...given, ...built.map((name) => join(IMAGES_DIR, name))]) {
    loadImage(archive);
    console.log(`loaded ${archive}`);
  }
}

function status(): void {
  const nodes = runningNodes();
  console.log(nodes.length === 0 ? 'down' : `up: ${nodes.map(({ name }) => name).join(', ')}`);
  process.exitCode = nodes.length === 0 ? 3 : 0;
}
