/**
 * `npm test`: every gate of the project, one after the other, and at the very end the line `N passed, N failed`
 * (each test counts, and each other gate counts as one). Flags: `--quick` (no black-box tests, fewer seeds),
 * `--provision` (install system packages, see provision.ts).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLUSTER_NEEDS, KUBERNETES_TESTS } from './cluster-needs.ts';
import { ChildCoverage } from './child-coverage.ts';
import { checkCoverage } from './coverage.ts';
import { IMAGE_NEEDS } from './images/images.ts';
import { countJest, type Counts, type JestSummary } from './jest-result.ts';
import { provision, type SystemNeed } from './provision.ts';
import { describeResult, ROOT_DIR, runStep, type Step } from './steps.ts';

const SEEDS = 300;
/** So many of them run twice, to the same end. */
const SEEDS_TWICE = 200;
const SEEDS_QUICK = 30;
const SWIM_SEEDS = 20;
const SWIM_SEEDS_QUICK = 5;
const JEST = ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js'];
const NETWORK_TESTS = 'tests on hosts of their own in network namespaces';
const DISK_TESTS = 'tests of nodes whose disks fail';
const SYSTEM_NEEDS: readonly SystemNeed[] = [
  { program: 'ip', package: 'iproute2', neededFor: NETWORK_TESTS },
  { program: 'tc', package: 'iproute2', neededFor: NETWORK_TESTS },
  { program: 'iptables', package: 'iptables', neededFor: NETWORK_TESTS },
  { program: 'gcc', package: 'build-essential', neededFor: DISK_TESTS },
  { program: 'python3', package: 'python3', neededFor: NETWORK_TESTS },
  ...CLUSTER_NEEDS,
  ...IMAGE_NEEDS,
];

/** Nodes of Kubernetes mount and make control groups. */
const isRoot = process.getuid?.() === 0;

const args = process.argv.slice(2);
const isQuick = args.includes('--quick');
const total: Counts = { passed: 0, failed: 0 };
const failures: string[] = [];
const scratchDir = mkdtempSync(join(tmpdir(), 'distric-test-'));
const childCoverageDir = join(scratchDir, 'v8');

try {
  const leftOut = provision(SYSTEM_NEEDS, args);
  const hasNamespaces = mayMakeNamespaces();
  await gate({ name: 'check', args: ['tools/check.ts'], live: true });
  await unitTests();
  await gate({
    name: 'simulator',
    args: ['node/sim/main.ts', '--seeds', String(isQuick ? SEEDS_QUICK : SEEDS), '--twice', String(SEEDS_TWICE)],
    live: true,
  });
  await gate({
    name: 'membership',
    args: [
      'node/sim/main.ts',
      '--swim',
      '--seeds',
      String(isQuick ? SWIM_SEEDS_QUICK : SWIM_SEEDS),
      '--twice',
      '4',
      '--members',
      '100',
      '--hours',
      '1',
    ],
    live: true,
  });
  const lacks = (what: string): boolean => leftOut.some(({ neededFor }) => neededFor === what);
  const leftOutFolders = [
    ...(hasNamespaces && !lacks(NETWORK_TESTS) ? [] : ['/e2e/network/']),
    ...(lacks(DISK_TESTS) ? ['/e2e/faults/'] : []),
  ];
  if (!isQuick) await blackBoxTests([...leftOutFolders, '/e2e/kubernetes/']);
  coverage();
  // Last, since it takes a share of the processor even at rest.
  const hasKubernetes = isRoot && !lacks(KUBERNETES_TESTS);
  if (!isQuick && hasKubernetes) await kubernetesTests();
  for (const need of leftOut)
    console.log(`left out: ${need.neededFor} (needs ${need.program}; --provision as root installs it)`);
  if (isQuick) console.log('left out: black-box tests (--quick)');
  else if (!hasNamespaces) console.log(`left out: ${NETWORK_TESTS} (this user may not make them)`);
  if (!isQuick && !isRoot) console.log(`left out: ${KUBERNETES_TESTS} (only root can make one)`);
  // Where all must be shown, doing nothing is no success.
  if (process.env['CI'] === 'true' && !hasKubernetes) add(KUBERNETES_TESTS, { passed: 0, failed: 1 });
} finally {
  rmSync(scratchDir, { recursive: true, force: true });
}
for (const name of failures) console.log(`failed: ${name}`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

/** Root may, unless a container has taken that away; somebody else may have been given it. */
function mayMakeNamespaces(): boolean {
  const name = `distric-probe-${String(process.pid)}`;
  const done = (verb: string): boolean => spawnSync('ip', ['netns', verb, name]).status === 0;
  return done('add') && done('del');
}

function add(name: string, counts: Counts): void {
  total.passed += counts.passed;
  total.failed += counts.failed;
  if (counts.failed > 0) failures.push(name);
}

async function gate(step: Step): Promise<boolean> {
  console.log(`\n=== ${step.name}`);
  const result = await runStep(step);
  console.log(describeResult(result));
  add(step.name, result.ok ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });
  return result.ok;
}

async function jest(name: string, jestArgs: readonly string[]): Promise<void> {
  console.log(`\n=== ${name}`);
  const resultFile = join(scratchDir, `${name.replaceAll(' ', '-')}.json`);
  const result = await runStep({
    name,
    args: [...JEST, '--ci', '--json', `--outputFile=${resultFile}`, ...jestArgs],
    env: { NODE_V8_COVERAGE: childCoverageDir },
  });
  const summary = existsSync(resultFile) ? (JSON.parse(readFileSync(resultFile, 'utf8')) as JestSummary) : undefined;
  const counts = countJest(summary, result.ok);
  if (counts.failed > 0) console.log(withoutJson(result.output));
  console.log(`${describeResult(result)}  ${counts.passed} passed, ${counts.failed} failed`);
  add(name, counts);
}

async function unitTests(): Promise<void> {
  rmSync(join(ROOT_DIR, 'coverage'), { recursive: true, force: true });
  const ignored = ['/node_modules/', '<rootDir>/(dist|coverage|e2e|\\.distric)/'];
  await jest('tests', ['--coverage', '--testPathIgnorePatterns', ...ignored]);
}

function coverage(): void {
  const lcovFile = join(ROOT_DIR, 'coverage/lcov.info');
  if (!existsSync(lcovFile)) {
    add('coverage', { passed: 0, failed: 1 });
    return;
  }
  console.log('\n=== coverage');
  const children = ChildCoverage.read(childCoverageDir, ROOT_DIR);
  const results = checkCoverage(
    readFileSync(lcovFile, 'utf8'),
    (path) => readFileSync(join(ROOT_DIR, path), 'utf8'),
    (path, offset) => children.hasRun(path, offset),
  );
  for (const { name, ok, linesPercent, linesPercentMin, worst } of results) {
    const share = `${linesPercent.toFixed(1)} % of lines (>= ${linesPercentMin} %)`;
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${name}: ${share}`);
    if (!ok) for (const { path, uncovered } of worst) console.log(`       ${path}: ${uncovered} lines uncovered`);
    add(`coverage of the ${name}`, ok ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });
  }
}

/** They start clusters of real processes, so one file at a time. */
async function blackBoxTests(leftOutFolders: readonly string[]): Promise<void> {
  const ignored = ['--testPathIgnorePatterns', '/node_modules/', ...leftOutFolders];
  await jest('black box', ['--roots', 'e2e', '--maxWorkers', '1', ...ignored]);
}

/** A real Kubernetes on this machine, and pods of our own images in it. */
async function kubernetesTests(): Promise<void> {
  const cluster = (command: string, ...more: string[]): Promise<boolean> =>
    gate({ name: `kubernetes ${command}`, args: ['e2e/cluster/main.ts', command, ...more], live: true });
  if (!(await gate({ name: 'images', args: ['tools/images/main.ts'], live: true }))) return;
  try {
    if (!(await cluster('up', '--nodes', '2')) || !(await cluster('load'))) return;
    await jest('kubernetes', [
      '--roots',
      'e2e/kubernetes',
      '--testPathIgnorePatterns',
      '/node_modules/',
      '--maxWorkers',
      '1',
    ]);
  } finally {
    await cluster('down');
  }
}

/** With `--json` jest also prints the result itself, as one line that nobody can read. */
function withoutJson(output: string): string {
  return output
    .split('\n')
    .filter((line) => !line.startsWith('{"num'))
    .join('\n')
    .trimEnd();
}
