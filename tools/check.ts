/** `npm run check`: everything that reads the source and does not run it. Fails with the output of what failed. */
import { describeResult, runSteps, type Step } from './steps.ts';

const CONCURRENCY = 2;

const STEPS: readonly Step[] = [
  { name: 'types', args: ['node_modules/typescript/bin/tsc', '-b'] },
  { name: 'lint', args: ['node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0'] },
  { name: 'format', args: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.'] },
  { name: 'unused', args: ['node_modules/knip/bin/knip.js', '--no-config-hints'] },
  { name: 'generated', args: ['tools/generate.ts', '--check'] },
  {
    name: 'tidy',
    args: ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js', 'tools/tidy.test.ts'],
  },
];

const results = await runSteps(STEPS, CONCURRENCY, (result) => console.log(describeResult(result)));
const failed = results.filter((result) => !result.ok);
for (const { name, output } of failed) console.error(`\n--- ${name}\n${output.trimEnd()}`);
process.exitCode = failed.length === 0 ? 0 : 1;
