import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

interface Row {
  name: string;
  value: number;
  ok: boolean;
}

const TIMEOUT_MS = 120_000;

function runDemo(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['tools/demo/main.ts', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, output });
    });
  });
}

describe('npm start', () => {
  let dir: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'distric-demo-test-'));
  });

  afterAll(async () => {
    await rm(dir, { recursive: true, force: true });
  });

  it(
    'loses nothing and commits nothing twice while it kills the leader and a worker, and says so in rows',
    async () => {
      const file = join(dir, 'rows.json');
      const { code, output } = await runDemo(['--rounds', '1', '--json', file]);
      expect(output).toContain('every promise was kept; nothing is left running');
      expect(code).toBe(0);
      const report = JSON.parse(await readFile(file, 'utf8')) as { rows: Row[]; ok: boolean };
      const value = Object.fromEntries(report.rows.map((row) => [row.name, row.value]));
      expect(report.ok).toBe(true);
      expect(value['acknowledged']).toBe(658);
      expect(value['lost']).toBe(0);
      expect(value['duplicateResults']).toBe(0);
      expect(value['unfinished']).toBe(0);
      expect(value['failoverMs']).toBeLessThan(10_000);
      expect(value['instancesPerSecond']).toBeGreaterThan(0);
      expect(value['p99Ms']).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  it('refuses a number of rounds that is none', async () => {
    const { code, output } = await runDemo(['--rounds', 'many']);
    expect(code).toBe(2);
    expect(output).toContain('--rounds takes a whole number from 1 to 100, not many');
  });
});
