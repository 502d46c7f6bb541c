import { describe, expect, it } from '@jest/globals';
import { type Fullness, StorageWatch } from './storage-watch.ts';

const LIMITS = { soft: 0.8, hard: 0.9 };

describe('StorageWatch', () => {
  function watch(own: Fullness = { what: 'state', share: 0.1 }) {
    const measured = { ...own };
    const looked = new StorageWatch('a', () => ({ ...measured }), LIMITS);
    return { looked, measured };
  }

  it('goes by the fullest of the voters that are named, and says which it is and of what', () => {
    const { looked } = watch();
    looked.heard('b', 850, 'log');
    looked.heard('c', 400, 'disk');
    expect(looked.judge(['a', 'c'])).toBe(false);
    expect(looked.level).toBe('open');
    expect(looked.judge(['a', 'b', 'c'])).toBe(true);
    expect(looked.level).toBe('soft');
    expect(looked.reason).toMatch(/^the log of b is 85 % full, its soft limit is 80 %/);
    looked.heard('c', 950, 'disk');
    expect(looked.judge(['a', 'b', 'c'])).toBe(true);
    expect(looked.level).toBe('hard');
    expect(looked.reason).toMatch(/^the disk of c is 95 % full, its hard limit is 90 %/);
  });

  it('leaves a level only when the fullest is clearly below it', () => {
    const { looked } = watch();
    const levelAt = (parts: number): string => {
      looked.heard('b', parts, 'log');
      looked.judge(['b']);
      return looked.level;
    };
    expect([799, 800, 795, 781, 779].map(levelAt)).toEqual(['open', 'soft', 'soft', 'soft', 'open']);
    expect([900, 890, 881, 879, 785, 770].map(levelAt)).toEqual(['hard', 'hard', 'hard', 'soft', 'soft', 'open']);
  });

  it('looks at its own storage at most ten times a second', () => {
    const { looked, measured } = watch();
    looked.look(1_000);
    measured.share = 0.95;
    looked.look(1_050);
    expect(looked.own.share).toBe(0.1);
    looked.look(1_100);
    expect(looked.stamp()).toEqual({ storageParts: 950, storageWhat: 'state' });
    expect(looked.judge([])).toBe(true);
    expect(looked.level).toBe('hard');
  });

  it('takes a voter that says nothing, as earlier releases do, for one with room; a new term forgets all', () => {
    const { looked } = watch();
    looked.heard('b', undefined, undefined);
    expect(looked.of('b')).toBeUndefined();
    looked.heard('b', 990, 'disk');
    looked.judge(['b']);
    looked.begin();
    looked.judge(['b']);
    expect(looked.level).toBe('open');
  });
});
