/**
 * `npm test`: every gate of the project, one after the other, and at the very end the line `N passed, N failed`
 * (each test counts, and each other gate counts as one). Flags: `--quick` (no black-box tests, fewer seeds),
 * `--provision` (install system packages, see provision.ts).
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkCoverage } from './coverage.ts';
import { countJest, type Counts, type JestSummary } from './jest-result.ts';
import { provision, type SystemNeed } from './provision.ts';
import { describeResult, ROOT_DIR, runStep, type Step } from './steps.ts';

const SEEDS = 300;
const SEEDS_QUICK = 30;
const JEST = ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js'];
/** None so far: everything runs on Node and its packages. */
const SYSTEM_NEEDS: readonly SystemNeed[] = [];

const args = process.argv.slice(2);
const isQuick = args.includes('--quick');
const total: Counts = { passed: 0, failed: 0 };
const failures: string[] = [];
const scratchDir = mkdtempSync(join(tmpdir(), 'distric-test-'));

try {
  const leftOut = provision(SYSTEM_NEEDS, args);
  await gate({ name: 'check', args: ['tools/check.ts'], live: true });
  await unitTests();
  await gate({
    name: 'simulator',
    args: ['node/sim/main.ts', '--seeds', String(isQuick ? SEEDS_QUICK : SEEDS)],
    live: true,
  });
  if (!isQuick) await blackBoxTests();
  for (const need of leftOut)
    console.log(`left out: ${need.neededFor} (needs ${need.program}; --provision as root installs it)`);
  if (isQuick) console.log('left out: black-box tests (--quick)');
} finally {
  rmSync(scratchDir, { recursive: true, force: true });
}
for (const name of failures) console.log(`failed: ${name}`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

function add(name: string, counts: Counts): void {
  total.passed += counts.passed;
  total.failed += counts.failed;
  if (counts.failed > 0) failures.push(name);
}

async function gate(step: Step): Promise<void> {
  console.log(`\n=== ${step.name}`);
  const result = await runStep(step);
  console.log(describeResult(result));
  add(step.name, result.ok ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });
}

async function jest(name: string, jestArgs: readonly string[], env: Record<string, string> = {}): Promise<void> {
  console.log(`\n=== ${name}`);
  const resultFile = join(scratchDir, `${name.replaceAll(' ', '-')}.json`);
  const result = await runStep({
    name,
    args: [...JEST, '--ci', '--json', `--outputFile=${resultFile}`, ...jestArgs],
    env,
    live: false,
  });
  const summary = existsSync(resultFile) ? (JSON.parse(readFileSync(resultFile, 'utf8')) as JestSummary) : undefined;
  const counts = countJest(summary, result.ok);
  if (counts.failed > 0) console.log(withoutJson(result.output));
  console.log(`${describeResult(result)}  ${counts.passed} passed, ${counts.failed} failed`);
  add(name, counts);
}

async function unitTests(): Promise<void> {
  rmSync(join(ROOT_DIR, 'coverage'), { recursive: true, force: true });
  await jest('tests', [
    '--coverage',
    '--testPathIgnorePatterns',
    '/node_modules/',
    '<rootDir>/(dist|coverage|e2e|\\.distric)/',
  ]);
  const lcovFile = join(ROOT_DIR, 'coverage/lcov.info');
  if (!existsSync(lcovFile)) {
    add('coverage', { passed: 0, failed: 1 });
    return;
  }
  const readSource = (path: string): string => readFileSync(join(ROOT_DIR, path), 'utf8');
  for (const result of checkCoverage(readFileSync(lcovFile, 'utf8'), readSource)) {
    const verdict = result.ok ? 'ok    ' : 'FAILED';
    console.log(
      `${verdict} coverage of the ${result.name}: ${result.linesPercent.toFixed(1)} % of lines (>= ${result.linesPercentMin} %)`,
    );
    if (!result.ok)
      for (const { path, uncovered } of result.worst) console.log(`       ${path}: ${uncovered} lines uncovered`);
    add(`coverage of the ${result.name}`, result.ok ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });
  }
}

/** They start clusters of real processes, so one file at a time. */
async function blackBoxTests(): Promise<void> {
  await jest('black box', ['--roots', 'e2e', '--maxWorkers', '1']);
}

/** With `--json` jest also prints the result itself, as one line that nobody can read. */
function withoutJson(output: string): string {
  return output
    .split('\n')
    .filter((line) => !line.startsWith('{"num'))
    .join('\n')
    .trimEnd();
}
