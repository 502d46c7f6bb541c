import { afterEach, describe, expect, it } from '@jest/globals';
import { WorkQueue } from './work-queue.ts';

let queue: WorkQueue | undefined;

afterEach(async () => {
  await queue?.stop();
});

/** Resolves with each call, in order. */
function recorder() {
  const calls: string[] = [];
  const waiting: (() => void)[] = [];
  const reached = async (count: number): Promise<void> => {
    while (calls.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const note = (call: string): void => {
    calls.push(call);
    for (const wake of waiting.splice(0)) wake();
  };
  return { calls, reached, note };
}

const noFailure = (): never => {
  throw new Error('nothing fails here');
};

describe('the queue', () => {
  it('works on a key once, however often it was added', async () => {
    const { calls, reached, note } = recorder();
    const open: (() => void)[] = [];
    queue = new WorkQueue({
      concurrency: 1,
      onFailure: noFailure,
      work: async (key) => {
        note(key);
        if (key === 'gate') await new Promise<void>((resolve) => open.push(resolve));
        return undefined;
      },
    });
    queue.add('gate');
    for (const key of ['a', 'a', 'b', 'a']) queue.add(key);
    expect(queue.depth).toBe(2);
    open[0]?.();
    await reached(3);
    expect(calls).toEqual(['gate', 'a', 'b']);
  });

  it('looks again at what was added while it was worked on, and never twice at once', async () => {
    const { calls, reached, note } = recorder();
    const open: (() => void)[] = [];
    let atOnce = 0;
    queue = new WorkQueue({
      concurrency: 4,
      onFailure: noFailure,
      work: async (key) => {
        atOnce++;
        expect(atOnce).toBe(1);
        note(key);
        if (calls.length === 1) await new Promise<void>((resolve) => open.push(resolve));
        atOnce--;
        return undefined;
      },
    });
    queue.add('a');
    queue.add('a');
    queue.add('a');
    open[0]?.();
    await reached(2);
    expect(calls).toEqual(['a', 'a']);
  });

  it('tries a failure again after pauses that grow, and forgets them once it went well', async () => {
    const pauses: number[] = [];
    const { reached, note } = recorder();
    let tries = 0;
    queue = new WorkQueue({
      concurrency: 1,
      random: () => 1,
      onFailure: (_key, _error, pauseMs) => pauses.push(pauseMs),
      work: (key) => {
        note(key);
        tries++;
        return tries < 3 ? Promise.reject(new Error('not yet')) : Promise.resolve(undefined);
      },
    });
    queue.add('a');
    await reached(3);
    expect(pauses).toEqual([200, 400]);
  });

  it('comes back by itself when told to', async () => {
    const { calls, reached, note } = recorder();
    queue = new WorkQueue({
      concurrency: 1,
      onFailure: noFailure,
      work: (key) => {
        note(key);
        return Promise.resolve(5);
      },
    });
    queue.add('a');
    await reached(3);
    expect(calls.slice(0, 3)).toEqual(['a', 'a', 'a']);
  });

  it('finishes what is under way before it stops, and begins nothing more', async () => {
    const { calls, note } = recorder();
    const open: (() => void)[] = [];
    const stopping = new WorkQueue({
      concurrency: 1,
      onFailure: noFailure,
      work: async (key) => {
        await new Promise<void>((resolve) => open.push(resolve));
        note(key);
        return 1;
      },
    });
    stopping.add('a');
    stopping.add('b');
    const stopped = stopping.stop();
    open[0]?.();
    await stopped;
    expect(calls).toEqual(['a']);
    stopping.add('c');
    expect(stopping.depth).toBe(0);
  });
});
