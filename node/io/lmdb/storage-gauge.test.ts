import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, it } from '@jest/globals';
import { DISK_BYTES_MIN, StorageGauge } from './storage-gauge.ts';

function store(usedBytes: number, bytesMax: number, fileBytes = usedBytes) {
  return { usedBytes: () => usedBytes, fileBytes: () => fileBytes, bytesMax };
}

describe('StorageGauge', () => {
  it('names the fullest of log and state, with what is about to be written to the state', () => {
    const gauge = new StorageGauge(tmpdir(), store(30, 20), store(100, 100));
    expect(gauge.fullest(0)).toEqual({ what: 'log', share: 1.5 });
    expect(gauge.fullest(60)).toEqual({ what: 'state', share: 1.6 });
  });

  it('judges the file system by what this node has of it and could have', () => {
    const { bavail, bsize } = statfsSync(tmpdir());
    const free = bavail * bsize;
    // As if this node had nine times what is free.
    const gauge = new StorageGauge(tmpdir(), store(0, 1, 5 * free), store(0, 1, 4 * free));
    const { what, share } = gauge.fullest(0);
    expect(what).toBe('disk');
    // Others write to this file system, too.
    expect(share).toBeGreaterThan(0.85);
    expect(share).toBeLessThan(0.95);
    const small = new StorageGauge(tmpdir(), store(0, 1), store(0, 1)).disk();
    expect(small.bytesMax).toBeGreaterThanOrEqual(DISK_BYTES_MIN);
    expect(small.usedBytes).toBeLessThan(small.bytesMax);
  });

  it('has room for what leaves the disk below its hard limit', () => {
    const { bavail, bsize } = statfsSync(tmpdir());
    const free = bavail * bsize;
    // Of twice what is free, a quarter is kept: half of what is free.
    const gauge = new StorageGauge(tmpdir(), store(0, 1, free), store(0, 1), 0.75);
    expect(gauge.noRoom(0.45 * free)).toBeUndefined();
    expect(gauge.noRoom(0.55 * free)).toMatch(
      /^\d+ MiB are needed, \d+ MiB are free, and \d+ MiB of them are kept for log and state$/,
    );
  });
});
