/** A snapshot on its way from one disk to another, as the core orders it piece by piece. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { SnapshotInput } from '../../ports.ts';
import { startProgram } from './child-program.ts';
import { LmdbSnapshots } from './lmdb-snapshots.ts';
import { StateDisk } from './state-disk.ts';

const MIB = 1024 * 1024;
const options = { mapBytesMax: 256 * MIB };
const PIECE_BYTES = 100_000;
const ANCHOR = Buffer.from('the anchor');

/** One node's state and its port; answers wait in a queue. */
class Side {
  readonly disk: StateDisk;
  readonly port: LmdbSnapshots;
  readonly failures: unknown[] = [];
  readonly warnings: string[] = [];
  /** Free on the disk, as far as snapshots go. */
  roomBytes = Infinity;
  readonly #answers: SnapshotInput[] = [];
  #arrived = (): void => undefined;

  constructor(disk: StateDisk, dir: string, readerDeadlineMs = 10_000) {
    this.disk = disk;
    this.port = new LmdbSnapshots({
      disk,
      dir: join(dir, 'snapshots'),
      answer: (input) => {
        this.#answers.push(input);
        this.#arrived();
      },
      onFatal: (error) => {
        this.failures.push(error);
        this.#arrived();
      },
      noRoom: (bytes) => (bytes > this.roomBytes ? `${String(bytes)} bytes are too many` : undefined),
      log: { info: () => undefined, warn: (_, text) => void this.warnings.push(text) },
      readerDeadlineMs,
    });
  }

  async answer<K extends SnapshotInput['kind']>(kind: K): Promise<Extract<SnapshotInput, { kind: K }>> {
    while (this.#answers.length === 0) {
      if (this.failures.length > 0) throw this.failures[0];
      await new Promise<void>((resolve) => (this.#arrived = resolve));
    }
    const answer = this.#answers.shift()!;
    expect(answer.kind).toBe(kind);
    return answer as Extract<SnapshotInput, { kind: K }>;
  }

  async stream(snapshotId: string): Promise<Uint8Array[]> {
    const pieces: Uint8Array[] = [];
    for (let offset = 0; ;) {
      this.port.read(snapshotId, offset, PIECE_BYTES);
      const { bytes, done } = await this.answer('snapshotRead');
      pieces.push(bytes);
      offset += bytes.length;
      if (done) return pieces;
    }
  }

  offer(snapshotId: string, pieces: readonly Uint8Array[]): void {
    const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    let offset = 0;
    for (const piece of pieces) {
      this.port.keep(snapshotId, offset, piece, sizeBytes);
      offset += piece.length;
    }
  }

  async keep(snapshotId: string, pieces: readonly Uint8Array[]): Promise<number> {
    this.offer(snapshotId, pieces);
    let kept = 0;
    for (let count = 0; count < pieces.length; count++) kept = (await this.answer('snapshotKept')).offset;
    return kept;
  }

  async end(): Promise<void> {
    await this.port.close();
    await this.disk.close();
  }
}

let root: string;
let sender: Side;
let receiver: Side;

async function open(name: string, readerDeadlineMs?: number): Promise<Side> {
  const dir = join(root, name);
  return new Side(await StateDisk.open(dir, options), dir, readerDeadlineMs);
}

/** A state of `rows` rows that names itself in every one of them. */
async function commitState(side: Side, appliedIndex: number, rows: number, rowBytes = 500): Promise<void> {
  const value = Buffer.alloc(rowBytes, String(appliedIndex));
  const writes = new Map<string, Uint8Array>([['meta', Buffer.from(JSON.stringify({ appliedIndex }))]]);
  for (let row = 0; row < rows; row++) writes.set(`m/${String(row).padStart(6, '0')}`, value);
  await side.disk.current.commit(writes);
}

function content(side: Side): [string, string][] {
  return [...side.disk.current.range('', '~')].map(({ key, value }) => [key, Buffer.from(value).toString()]);
}

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'distric-snapshots-'));
  sender = await open('sender');
  receiver = await open('receiver');
});

afterEach(async () => {
  await sender.end();
  await receiver.end();
  rmSync(root, { recursive: true, force: true });
});

describe('taking a snapshot', () => {
  it('says which entry it ends with, and that there is none while nothing was committed', async () => {
    sender.port.take('empty');
    await sender.answer('snapshotNotTaken');
    await commitState(sender, 7, 10);
    sender.port.take('s');
    expect(await sender.answer('snapshotTaken')).toMatchObject({
      kind: 'snapshotTaken',
      snapshotId: 's',
      head: { lastIndex: 7, membership: undefined, membershipIndex: 0 },
    });
  });

  it('reads one commit, whatever is committed meanwhile', async () => {
    await commitState(sender, 1, 40_000);
    let commits = 1;
    // Every thousandth row names the latest commit.
    const commitMarks = async (): Promise<void> => {
      const index = ++commits;
      const rows = Array.from({ length: 40 }, (_, n) => [`m/${String(n * 1_000).padStart(6, '0')}`, index] as const);
      const meta = ['meta', JSON.stringify({ appliedIndex: index })] as const;
      await sender.disk.current.commit(new Map([meta, ...rows].map(([key, text]) => [key, Buffer.from(String(text))])));
    };
    let snapshotId = '';
    let lastIndex = 0;
    for (let tries = 1; lastIndex === 0 || lastIndex === commits; tries++) {
      expect(tries).toBeLessThan(20);
      snapshotId = `s${String(tries)}`;
      sender.port.take(snapshotId);
      let isTaken = false;
      const taken = sender.answer('snapshotTaken').finally(() => (isTaken = true));
      while (!isTaken) await commitMarks();
      lastIndex = (await taken).head.lastIndex;
    }
    await receiver.keep(snapshotId, await sender.stream(snapshotId));
    receiver.port.install(snapshotId, ANCHOR);
    await receiver.answer('snapshotInstalled');
    const marks = content(receiver).flatMap(([key, value]) => (/^m\/\d{3}000$/.test(key) ? [value] : []));
    expect(marks).toHaveLength(40);
    // A snapshot of before the first of these commits has the first state whole.
    expect([...new Set(marks)]).toEqual([lastIndex === 1 ? '1'.repeat(500) : String(lastIndex)]);
  });

  it('gives up when it takes too long, and lets the reader go', async () => {
    const slow = await open('slow', 0);
    await commitState(slow, 1, 5_000);
    slow.port.take('s');
    expect((await slow.answer('snapshotNotTaken')).noRoom).toBeUndefined();
    expect(slow.warnings).toEqual(['no snapshot could be taken']);
    const fileBytes: number[] = [];
    for (let round = 2; round < 30; round++) {
      await commitState(slow, round, 5_000);
      fileBytes.push(slow.disk.current.fileBytes());
    }
    expect(fileBytes.at(-1)).toBe(fileBytes[10]);
    await slow.end();
  });

  it('can be read at any offset until it is dropped, also more than once', async () => {
    await commitState(sender, 1, 2_000);
    sender.port.take('s');
    await sender.answer('snapshotTaken');
    const whole = Buffer.concat(await sender.stream('s'));
    sender.port.read('s', 5_000, 10);
    expect(await sender.answer('snapshotRead')).toMatchObject({ offset: 5_000, done: false });
    sender.port.read('s', whole.length - 3, 10);
    const { bytes, done } = await sender.answer('snapshotRead');
    expect([Buffer.from(bytes).equals(whole.subarray(-3)), done]).toEqual([true, true]);
    sender.port.read('s', whole.length, 10);
    expect(await sender.answer('snapshotRead')).toMatchObject({ done: true, bytes: { length: 0 } });
    sender.port.drop('s');
    sender.port.drop('s');
    sender.port.read('s', 0, 10);
    sender.port.take('next');
    expect(await sender.answer('snapshotTaken')).toMatchObject({ snapshotId: 'next', head: { lastIndex: 1 } });
    expect(sender.failures).toEqual([]);
  });

  it('ends when it is dropped on the way', async () => {
    await commitState(sender, 1, 20_000);
    sender.port.take('s');
    sender.port.drop('s');
    expect((await sender.answer('snapshotNotTaken')).noRoom).toBeUndefined();
  });

  it('is not begun without room for it, and can be tried again', async () => {
    await commitState(sender, 1, 2_000);
    sender.roomBytes = MIB / 2;
    sender.port.take('s');
    expect((await sender.answer('snapshotNotTaken')).noRoom).toMatch(/are too many/);
    sender.roomBytes = 4 * MIB;
    sender.port.take('again');
    const { sizeBytes } = await sender.answer('snapshotTaken');
    expect(sizeBytes).toBe(Buffer.concat(await sender.stream('again')).length);
    expect(sender.failures).toEqual([]);
  });
});

describe('installing a snapshot', () => {
  it('replaces everything, adds the anchor, and lasts', async () => {
    await commitState(sender, 9, 10_000);
    await sender.disk.current.commit(new Map([['anchor', Buffer.from("the sender's own")]]));
    await commitState(receiver, 3, 12_000);
    sender.port.take('s');
    await sender.answer('snapshotTaken');
    await receiver.keep('s', await sender.stream('s'));
    receiver.port.install('s', ANCHOR);
    const { store } = await receiver.answer('snapshotInstalled');
    expect(Buffer.from(store.get('anchor')!).toString()).toBe('the anchor');
    receiver.disk.retire();
    const expected = content(sender).map(([key, value]) => [key, key === 'anchor' ? 'the anchor' : value]);
    expect(content(receiver)).toEqual(expected);
    await receiver.end();
    receiver = await open('receiver');
    expect(content(receiver)).toEqual(expected);
  });

  it('forgets what was begun when another one begins, or when it is abandoned', async () => {
    await commitState(sender, 9, 100);
    sender.port.take('s');
    await sender.answer('snapshotTaken');
    const pieces = await sender.stream('s');
    await receiver.keep('torn', [Buffer.from('half of a')]);
    await receiver.keep('given up', [Buffer.from('something else')]);
    receiver.port.abandon('torn');
    receiver.port.abandon('given up');
    expect(() => receiver.port.install('given up', ANCHOR)).toThrow('only what was kept is installed');
    await receiver.keep('s', pieces);
    receiver.port.install('s', ANCHOR);
    await receiver.answer('snapshotInstalled');
    expect(content(receiver)).toHaveLength(102);
  });

  it('is refused once where there is no room for file and state, and kept when there is', async () => {
    await commitState(sender, 9, 10_000);
    await commitState(receiver, 3, 5);
    sender.port.take('s');
    const { sizeBytes } = await sender.answer('snapshotTaken');
    const pieces = await sender.stream('s');
    receiver.roomBytes = 2 * sizeBytes - 1;
    receiver.offer('s', pieces);
    expect((await receiver.answer('snapshotRefused')).noRoom).toMatch(/are too many/);
    receiver.port.abandon('s');
    receiver.roomBytes++;
    await receiver.keep('s', pieces);
    receiver.port.install('s', ANCHOR);
    await receiver.answer('snapshotInstalled');
    expect(content(receiver)).toHaveLength(10_002);
    expect(receiver.failures).toEqual([]);
  });

  it('is refused where the state may not grow so large, and the old state is whole', async () => {
    const dir = join(root, 'small');
    const small = new Side(await StateDisk.open(dir, { mapBytesMax: 2 * MIB }), dir);
    await commitState(small, 3, 5);
    await commitState(sender, 9, 10_000);
    sender.port.take('s');
    await sender.answer('snapshotTaken');
    const pieces = await sender.stream('s');
    small.offer('s', pieces);
    expect((await small.answer('snapshotRefused')).noRoom).toMatch(/the state may have 2097152: raise its limit/);
    small.port.abandon('s');
    // A sender of an earlier release does not say how much it is.
    let offset = 0;
    for (const piece of pieces) {
      small.port.keep('s', offset, piece, 0);
      offset += piece.length;
      await small.answer('snapshotKept');
    }
    small.port.install('s', ANCHOR);
    expect((await small.answer('snapshotRefused')).noRoom).toMatch(/has reached its limit of 2097152 bytes/);
    expect(small.failures).toEqual([]);
    expect(content(small)).toHaveLength(6);
    expect(readdirSync(dir)).not.toContain('state.new');
    await small.end();
  });

  it('stops with the process, and leaves the old state', async () => {
    await commitState(sender, 9, 20_000);
    await commitState(receiver, 3, 5);
    sender.port.take('s');
    await sender.answer('snapshotTaken');
    await receiver.keep('s', await sender.stream('s'));
    receiver.port.install('s', ANCHOR);
    await receiver.end();
    expect(receiver.failures).toEqual([]);
    receiver = await open('receiver');
    expect(content(receiver)).toHaveLength(6);
  });

  it('leaves the old state or the new one, whole, wherever it is killed', async () => {
    const dir = join(root, 'killed');
    const urls = ['state-disk.ts', 'lmdb-snapshots.ts'].map((name) => new URL(name, import.meta.url).href);
    // Replaces its state by ever larger ones, each row of which names it, and tells of each.
    const source = `import { writeSync } from 'node:fs';
      import { StateDisk } from ${JSON.stringify(urls[0])};
      import { LmdbSnapshots } from ${JSON.stringify(urls[1])};
      const disk = await StateDisk.open(${JSON.stringify(dir)}, { mapBytesMax: ${String(256 * MIB)} });
      const ignore = () => undefined;
      let answered = ignore;
      const port = new LmdbSnapshots({ disk, dir: ${JSON.stringify(join(dir, 'snapshots'))},
        answer: (input) => answered(input), onFatal: (error) => { throw error; }, noRoom: ignore, log: { info: ignore, warn: ignore } });
      const next = (start) => new Promise((resolve) => { answered = resolve; start(); });
      const before = [...disk.current.range('', '~')].length;
      writeSync(1, before + '\\n');
      for (let rows = before + 10_000; ; rows += 2_000) {
        const records = [];
        for (let row = 0; row < rows; row++) {
          const record = Buffer.alloc(8 + 6 + 300, String(rows) + ' ');
          record.writeUInt32BE(6, 0);
          record.writeUInt32BE(300, 4);
          record.write(String(100_000 + row), 8);
          records.push(record);
        }
        const stream = Buffer.concat(records);
        await next(() => port.keep('s', 0, stream, stream.length));
        await next(() => port.install('s', Buffer.from('x')));
        disk.retire();
        writeSync(1, rows + '\\n');
      }`;
    const fileBytes = (): number => statSync(join(dir, 'state.new', 'data.mdb'), { throwIfNoEntry: false })?.size ?? 0;
    const moments: (() => boolean)[] = [
      () => fileBytes() > 0,
      () => fileBytes() > MIB,
      () => fileBytes() > 2 * MIB,
      () => readdirSync(dir).filter((name) => /^state(\.\d+)?$/.test(name)).length > 1,
    ];
    for (const isMoment of moments) {
      const child = startProgram(source);
      await child.printed(2);
      while (!isMoment()) await new Promise(setImmediate);
      child.kill();
      expect(await child.exit).toBe('SIGKILL');
      const disk = await StateDisk.open(dir, options);
      const values = [...disk.current.range('1', '2')].map(({ value }) => Buffer.from(value).toString());
      await disk.close();
      expect(new Set(values).size).toBe(1);
      expect(values[0]).toContain(`${String(values.length)} `);
      expect(values.length).toBeGreaterThanOrEqual(Math.max(...child.lines.slice(1).map(Number)));
    }
  });
});
