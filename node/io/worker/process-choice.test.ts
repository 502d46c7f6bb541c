import { describe, expect, it } from '@jest/globals';
import { idleQuarantine, leastLoaded, type Choosable } from './process-choice.ts';

function choosable(overrides: Partial<Choosable> & { attempts?: number }): Choosable {
  const { attempts = 0, ...rest } = overrides;
  const running = new Set(Array.from({ length: attempts }, (_, id) => id));
  return { state: 'ready', doomed: false, quarantine: false, blockedBy: undefined, running, ...rest };
}

describe('leastLoaded()', () => {
  it('takes the process with the fewest attempts, a hanging one last', () => {
    const hanging = choosable({ blockedBy: null });
    const busy = choosable({ attempts: 2 });
    const free = choosable({ attempts: 1 });
    expect(leastLoaded([hanging, busy, free], 4)).toBe(free);
    expect(leastLoaded([hanging], 4)).toBe(hanging);
  });

  it('takes none that is full, not ready, doomed or a quarantine', () => {
    const unfit = [
      choosable({ attempts: 4 }),
      choosable({ state: 'starting' }),
      choosable({ state: 'retiring' }),
      choosable({ doomed: true }),
      choosable({ quarantine: true }),
    ];
    expect(leastLoaded(unfit, 4)).toBeUndefined();
  });
});

describe('idleQuarantine()', () => {
  it('takes an idle one, waits for a starting one, and asks for a new one up to the limit', () => {
    const shared = choosable({});
    const busy = choosable({ quarantine: true, attempts: 1 });
    const idle = choosable({ quarantine: true });
    expect(idleQuarantine([shared, busy, idle], 3)).toBe(idle);
    expect(idleQuarantine([shared, busy, choosable({ quarantine: true, state: 'starting' })], 3)).toBe('starting');
    expect(idleQuarantine([shared, busy], 3)).toBe('none');
    expect(idleQuarantine([shared, busy, busy], 2)).toBe('full');
  });
});
