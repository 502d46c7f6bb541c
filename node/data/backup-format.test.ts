import { describe, expect, it } from '@jest/globals';
import { Random } from '../../base/random.ts';
import { membershipOf } from '../core/raft/membership.ts';
import { FEATURE_LEVEL } from '../core/state/feature-level.ts';
import { BackupError, type BackupHeader, BackupReader, backupStream } from './backup-format.ts';

const HEADER: BackupHeader = {
  cluster_id: 'c',
  cluster_name: 'shop',
  index: 12,
  term: 3,
  membership: membershipOf(['c1']),
  created_at: '2026-01-01T00:00:00.000Z',
  feature_level: FEATURE_LEVEL,
  state_bytes: 700,
};

async function* pieces(sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (const [i, size] of sizes.entries()) yield await Promise.resolve(Buffer.alloc(size, i + 1));
}

async function written(header: Partial<BackupHeader> = {}, sizes: readonly number[] = [400, 0, 300]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of backupStream({ ...HEADER, ...header }, pieces(sizes))) parts.push(part);
  return Buffer.concat(parts);
}

/** Read in pieces of `step` bytes. */
function read(file: Uint8Array, step = 1024): { header: BackupHeader; state: Buffer } {
  const state: Uint8Array[] = [];
  const reader = new BackupReader((bytes) => state.push(bytes));
  for (let offset = 0; offset < file.length; offset += step) reader.push(file.subarray(offset, offset + step));
  return { header: reader.end(), state: Buffer.concat(state) };
}

describe('a backup', () => {
  it.each([1, 7, 4096])('is read as it was written, in pieces of %i bytes', async (step) => {
    const { header, state } = read(await written(), step);
    expect(header).toEqual(HEADER);
    expect(state).toEqual(Buffer.concat([Buffer.alloc(400, 1), Buffer.alloc(300, 3)]));
  });

  it('is refused for any bit that differs', async () => {
    const file = await written();
    for (let bit = 0; bit < file.length * 8; bit++) {
      const damaged = Buffer.from(file);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => read(damaged)).toThrow(BackupError);
    }
  });

  it('is refused for any byte that is missing at its end, or follows it', async () => {
    const file = await written();
    for (let length = 0; length < file.length; length++) {
      expect(() => read(file.subarray(0, length))).toThrow(BackupError);
    }
    expect(() => read(Buffer.concat([file, Buffer.alloc(1)]))).toThrow(/more follows/);
  });

  it('is refused when parts of it changed places, or are missing', async () => {
    const sizes = [300, 300];
    const file = await written({ state_bytes: 600 }, sizes);
    const blockBytes = 308;
    const at = file.length - 36 - 2 * blockBytes;
    const [first, second] = [file.subarray(at, at + blockBytes), file.subarray(at + blockBytes, at + 2 * blockBytes)];
    const swapped = Buffer.concat([file.subarray(0, at), second, first, file.subarray(at + 2 * blockBytes)]);
    expect(() => read(swapped)).toThrow(/SHA-256/);
    const shorter = Buffer.concat([file.subarray(0, at), second, file.subarray(at + 2 * blockBytes)]);
    expect(() => read(shorter)).toThrow(/SHA-256/);
    expect(() => read(Buffer.from('no backup at all'))).toThrow(/does not begin like a backup/);
  });

  it('is refused when less of the state was written than its header says', async () => {
    const file = await written({ state_bytes: 701 });
    expect(() => read(file)).toThrow(/part of the state is missing/);
  });

  it('is refused in words when a newer release wrote it', async () => {
    const newer = await written();
    newer.writeUInt32BE(2, 8);
    expect(() => read(newer)).toThrow(/version 2.*newer/);
    const file = await written({ feature_level: FEATURE_LEVEL + 1 });
    expect(() => read(file)).toThrow(/feature level.*newer release/);
  });

  it('is never taken for whole when its bytes are noise', () => {
    const random = new Random(7);
    for (let i = 0; i < 200; i++) {
      const noise = Buffer.from(Array.from({ length: random.integer(0, 200) }, () => random.integer(0, 255)));
      expect(() => read(noise, random.integer(1, 64))).toThrow(BackupError);
    }
  });
});
