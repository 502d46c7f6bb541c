/** What is on disk after a process was killed, or its disk failed: real processes, real files. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startProgram, type ChildProgram } from './child-program.ts';
import { LogStore } from './log-store.ts';
import { StateStore } from './state-store.ts';

const MIB = 1024 * 1024;
const logUrl = new URL('log-store.ts', import.meta.url).href;
const stateUrl = new URL('state-store.ts', import.meta.url).href;
const limits = `{ mapBytesMax: ${String(64 * MIB)}, queueBytesMax: ${String(16 * MIB)} }`;

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'distric-crash-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** Persists entries 1, 2, … for ever, several in flight, and prints each index when it is reported durable. */
function logWriter(entryBytes: number, fileKibMax?: number): ChildProgram {
  return startProgram(
    `import { writeSync } from 'node:fs';
    import { LogStore } from ${JSON.stringify(logUrl)};
    const store = await LogStore.open(${JSON.stringify(dir)}, ${limits});
    let index = 1 + store.boot.lastIndex;
    const next = () => {
      const at = index++;
      const write = { hardState: { term: at, votedFor: 'c1' }, entries: [{ index: at, bytes: Buffer.alloc(${String(entryBytes)}, at) }] };
      store.persist(write).then(() => { writeSync(1, at + '\\n'); next(); }, (error) => { writeSync(1, 'failed ' + error.message + '\\n'); });
    };
    for (let i = 0; i < 4; i++) next();`,
    fileKibMax,
  );
}

async function openLog(): Promise<LogStore> {
  return LogStore.open(dir, { mapBytesMax: 64 * MIB, queueBytesMax: 16 * MIB });
}

describe('a killed process', () => {
  it.each([1, 40, 150])('leaves every reported log entry on disk (killed after %i reports)', async (reports) => {
    const child = logWriter(700);
    await child.printed(reports);
    child.kill();
    expect(await child.exit).toBe('SIGKILL');
    const reported = Math.max(...child.lines.map(Number));
    const store = await openLog();
    expect(store.boot).toMatchObject({ firstIndex: 1, bootCount: 2 });
    expect(store.boot.lastIndex).toBeGreaterThanOrEqual(reported);
    expect(store.boot.hardState.term).toBe(store.boot.lastIndex);
    for (const [offset, bytes] of store.read(1, store.boot.lastIndex + 1, 16 * MIB).entries()) {
      expect(Buffer.alloc(700, offset + 1).equals(bytes)).toBe(true);
    }
    await store.close();
  });

  it('leaves a state in which everything belongs to one commit, none earlier than the last one reported', async () => {
    const child = startProgram(
      `import { writeSync } from 'node:fs';
      import { StateStore } from ${JSON.stringify(stateUrl)};
      const store = await StateStore.open(${JSON.stringify(dir)}, ${limits});
      for (let applied = 1; ; applied++) {
        const writes = new Map([['applied', Buffer.from(String(applied))]]);
        for (let i = 0; i < 3_000; i++) writes.set('row/' + i, Buffer.from(String(applied)));
        await store.commit(writes);
        writeSync(1, applied + '\\n');
      }`,
    );
    await child.printed(30);
    child.kill();
    await child.exit;
    const store = await StateStore.open(dir, { mapBytesMax: 64 * MIB });
    const values = [...store.range('', '~')].map(({ value }) => Buffer.from(value).toString());
    expect(values.length).toBe(3_001);
    expect(new Set(values).size).toBe(1);
    expect(Number(values[0])).toBeGreaterThanOrEqual(Number(child.lines.at(-1)));
    await store.close();
  });

  it('leaves no lock behind, but keeps others out while it lives', async () => {
    const child = logWriter(10);
    await child.printed(1);
    await expect(openLog()).rejects.toThrow(/stop the other process that uses the data directory/);
    child.kill();
    await child.exit;
    const store = await openLog();
    await store.close();
  });
});

describe('a failing disk', () => {
  it('rejects everything from the first failure on; what was reported before is still there', async () => {
    const child = logWriter(100_000, 2_048);
    expect(await child.exit).toBe(0); // the store alone keeps no process alive
    const failures = child.lines.filter((line) => line.startsWith('failed'));
    const reported = child.lines.filter((line) => !line.startsWith('failed')).map(Number);
    expect(failures.length).toBe(4);
    for (const failure of failures)
      expect(failure).toMatch(/writing the log in .* failed, check the disk: Input\/output error/);
    expect(reported.length).toBeGreaterThan(3);
    const store = await openLog();
    expect(store.boot.lastIndex).toBe(Math.max(...reported));
    await store.close();
  });
});
