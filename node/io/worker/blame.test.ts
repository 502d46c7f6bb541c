import { describe, expect, it } from '@jest/globals';
import { blame } from './blame.ts';

const timedOut = (...ids: number[]) => new Set(ids);

describe('blame()', () => {
  it('charges a death to the only attempt that ran', () => {
    expect(blame({ cause: 'exit', how: 'code 1' }, [7])).toEqual({
      guilty: new Map([[7, 'plugin process exited with code 1']]),
      suspect: true,
    });
    const { guilty } = blame({ cause: 'memory', residentMb: 300, limitMb: 256 }, [7]);
    expect(guilty.get(7)).toContain('used 300 MiB of memory; the limit is 256 MiB');
  });

  it('charges nobody and suspects all when several ran', () => {
    expect(blame({ cause: 'exit', how: 'signal SIGSEGV' }, [1, 2])).toEqual({ guilty: new Map(), suspect: true });
    const death = { cause: 'memory', residentMb: 300, limitMb: 256 } as const;
    expect(blame(death, [1, 2])).toEqual({ guilty: new Map(), suspect: true });
  });

  it('suspects nobody when nothing ran', () => {
    expect(blame({ cause: 'exit', how: 'code 1' }, [])).toEqual({ guilty: new Map(), suspect: false });
  });

  it('charges every attempt that ran over its time-out when the process does not hang', () => {
    const verdict = blame({ cause: 'overrun', timedOut: timedOut(1, 3), blockedBy: undefined }, [1, 2, 3]);
    expect([...verdict.guilty.keys()]).toEqual([1, 3]);
    expect(verdict.suspect).toBe(false);
  });

  it('charges only the attempt that blocks, whoever timed out', () => {
    const verdict = blame({ cause: 'overrun', timedOut: timedOut(1), blockedBy: 2 }, [1, 2, 3]);
    expect([...verdict.guilty.keys()]).toEqual([2]);
    expect(verdict.guilty.get(2)).toContain('blocked its plugin process');
  });

  it('suspects all when the process hangs in nobody knows what, but charges one that is alone', () => {
    const death = { cause: 'overrun', timedOut: timedOut(1), blockedBy: null } as const;
    expect(blame(death, [1, 2])).toEqual({ guilty: new Map(), suspect: true });
    expect([...blame(death, [1]).guilty.keys()]).toEqual([1]);
  });

  it('goes by the time-outs when the blocking attempt has ended meanwhile', () => {
    const verdict = blame({ cause: 'overrun', timedOut: timedOut(1), blockedBy: 9 }, [1, 2]);
    expect([...verdict.guilty.keys()]).toEqual([1]);
  });
});
