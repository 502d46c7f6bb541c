import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { incarnationFile, incarnationsByClock } from './incarnation-file.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'distric-incarnation-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

describe('incarnationFile()', () => {
  it('gives back the last number that was kept, whatever the clock says', async () => {
    const folder = join(dir, 'data');
    const first = incarnationFile(folder, 'w1', 1_000);
    expect(first.ceiling).toBe(0);
    await Promise.all([first.keep(257), first.keep(514), first.keep(771)]);
    expect(incarnationFile(folder, 'w1', 1_000).ceiling).toBe(771);
    expect(readdirSync(folder)).toEqual(['incarnation-w1']);
  });

  it('rejects when the number cannot be kept, and keeps the next one', async () => {
    const folder = join(dir, 'data');
    const kept = incarnationFile(folder, 'w1', 1_000);
    rmSync(folder, { recursive: true });
    await expect(kept.keep(257)).rejects.toThrow('ENOENT');
    incarnationFile(folder, 'w1', 1_000);
    await kept.keep(514);
    expect(incarnationFile(folder, 'w1', 1_000).ceiling).toBe(514);
  });

  it.each(['', 'garbage', '-1', '99999999999999999', '9007199254740993'])('begins by the clock after %j', (text) => {
    writeFileSync(join(dir, 'incarnation-w1'), text);
    expect(incarnationFile(dir, 'w1', 1_000).ceiling).toBe(1_000);
  });
});

describe('incarnationsByClock()', () => {
  it('begins above every life that began before', () => {
    expect(incarnationsByClock(2_000).ceiling).toBeGreaterThan(incarnationsByClock(1_000).ceiling);
  });
});
