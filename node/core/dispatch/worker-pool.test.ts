import { describe, expect, it } from '@jest/globals';
import { Random } from '../../../base/random.ts';
import { freeSlots, type Demand, type PoolWorker, reservationFor } from './pool-worker.ts';
import { makeStrategy, type StrategyName } from './strategy.ts';
import { WorkerPool } from './worker-pool.ts';

function worker(id: string, more: Partial<PoolWorker> = {}): PoolWorker {
  return { id, capacity: 4, types: ['log'], labels: [], zone: undefined, reserved: [], ...more };
}

function demand(type = 'log', selector: Demand['selector'] = [], workflow = 'w'): Demand {
  return { key: JSON.stringify([workflow, type, selector]), workflow, type, selector };
}

/** A pool and what its workers have, as the leader keeps it. */
class Fleet {
  readonly pool: WorkerPool;
  readonly given = new Map<string, Demand[]>();
  readonly #workers = new Map<string, PoolWorker>();

  constructor(strategy: StrategyName, workers: readonly PoolWorker[], own: { zone?: string; rtt?: object } = {}) {
    const roundTripMs = (id: string): number | undefined => (own.rtt as Record<string, number> | undefined)?.[id];
    this.pool = new WorkerPool(makeStrategy(strategy, new Random(7), { zone: own.zone, roundTripMs }));
    for (const one of workers) this.join(one);
  }

  join(one: PoolWorker, doubted = false): void {
    this.#workers.set(one.id, one);
    const has = this.given.get(one.id) ?? [];
    this.given.set(one.id, has);
    const usedReserved = one.reserved.map((_, i) => has.filter((of) => reservationFor(one.reserved, of) === i).length);
    this.pool.put(one, { used: has.length, usedReserved }, doubted);
  }

  /** Gives one task out; the id of the worker that has it. */
  give(what = demand()): string | undefined {
    const chosen = this.pool.choose(what);
    if (chosen === undefined) return undefined;
    this.given.get(chosen.id)!.push(what);
    this.join(chosen);
    return chosen.id;
  }

  /** The last task that it was given ends. */
  end(id: string): void {
    this.given.get(id)!.pop();
    this.join(this.#workers.get(id)!);
  }

  giveSome(count: number, what = demand()): (string | undefined)[] {
    return Array.from({ length: count }, () => this.give(what));
  }

  get counts(): Record<string, number> {
    return Object.fromEntries([...this.given].map(([id, tasks]) => [id, tasks.length]));
  }
}

describe('least-loaded', () => {
  it('fills workers of any size alike', () => {
    const fleet = new Fleet('least-loaded', [worker('a', { capacity: 2 }), worker('b', { capacity: 8 })]);
    fleet.giveSome(5);
    expect(fleet.counts).toEqual({ a: 1, b: 4 });
    fleet.giveSome(5);
    expect(fleet.counts).toEqual({ a: 2, b: 8 });
    expect(fleet.give()).toBeUndefined();
  });

  it('levels loads that differ', () => {
    const fleet = new Fleet('least-loaded', [worker('a', { capacity: 10 }), worker('b', { capacity: 10 })]);
    for (let n = 0; n < 6; n++) fleet.given.get('a')!.push(demand());
    fleet.join(worker('a', { capacity: 10 }));
    expect(new Set(fleet.giveSome(6))).toEqual(new Set(['b']));
    fleet.giveSome(4);
    expect(fleet.counts).toEqual({ a: 8, b: 8 });
  });
});

describe('round-robin', () => {
  it('serves each in its turn, passes over whoever is full, and begins with newcomers', () => {
    const fleet = new Fleet('round-robin', [worker('a'), worker('b', { capacity: 1 }), worker('c')]);
    expect(fleet.giveSome(3)).toEqual(['a', 'b', 'c']);
    expect(fleet.giveSome(2)).toEqual(['a', 'c']);
    fleet.end('b');
    fleet.join(worker('d'));
    expect(fleet.giveSome(4)).toEqual(['d', 'b', 'a', 'c']);
  });
});

describe('random', () => {
  it('gives each that has room about the same, however loaded, and the same again with the same seed', () => {
    const run = (): (string | undefined)[] => {
      const capacity = 10_000;
      const fleet = new Fleet('random', [
        worker('a', { capacity }),
        worker('b', { capacity }),
        // Of another group: both are drawn from as one.
        worker('c', { capacity, types: ['log', 'http'] }),
        worker('d', { capacity: 10 }),
      ]);
      return fleet.giveSome(3_000);
    };
    const given = run();
    const count = (id: string): number => given.filter((one) => one === id).length;
    expect(count('d')).toBe(10);
    for (const id of ['a', 'b', 'c']) {
      // Five standard deviations of a fair draw are about 130.
      expect(Math.abs(count(id) - 997)).toBeLessThan(150);
    }
    expect(run()).toEqual(given);
  });
});

describe('locality-aware', () => {
  const workers = [
    worker('far', { zone: 'z3', capacity: 2 }),
    worker('near', { zone: 'z2', capacity: 2 }),
    worker('here-1', { zone: 'z1', capacity: 2 }),
    worker('here-2', { zone: 'z1', capacity: 2 }),
  ];
  const own = { zone: 'z1', rtt: { far: 40, near: 3, 'here-1': 900 } };

  it('prefers its own zone, least loaded first, and spills over to the nearest when that is full', () => {
    const fleet = new Fleet('locality-aware', workers, own);
    expect(new Set(fleet.giveSome(2))).toEqual(new Set(['here-1', 'here-2']));
    expect(new Set(fleet.giveSome(2))).toEqual(new Set(['here-1', 'here-2']));
    expect(fleet.giveSome(5)).toEqual(['near', 'near', 'far', 'far', undefined]);
    fleet.end('here-2');
    expect(fleet.give()).toBe('here-2');
  });

  it('goes by round trips alone where there are no zones', () => {
    const zoneless = workers.map(({ id, capacity }) => worker(id, { capacity }));
    const fleet = new Fleet('locality-aware', zoneless, { rtt: own.rtt });
    expect(fleet.giveSome(4)).toEqual(['here-2', 'here-2', 'near', 'near']);
  });
});

describe('label selectors', () => {
  const workers = [
    worker('plain'),
    worker('ssd', { labels: ['disk=ssd', 'host=1'] }),
    worker('gpu', { labels: ['disk=ssd', 'gpu=a100', 'host=2'] }),
  ];
  const gpu = demand('log', [['disk=ssd'], ['gpu=a100', 'gpu=h100']]);

  it('leave only workers that have each of the labels, or one of several values', () => {
    const fleet = new Fleet('least-loaded', workers);
    expect(new Set(fleet.giveSome(4, gpu))).toEqual(new Set(['gpu']));
    expect(fleet.give(gpu)).toBeUndefined();
    expect(new Set(fleet.giveSome(4, demand('log', [['disk=ssd']])))).toEqual(new Set(['ssd']));
    expect(new Set(fleet.giveSome(4))).toEqual(new Set(['plain']));
  });

  it('find workers that come later, and lose those that go', () => {
    const fleet = new Fleet('least-loaded', workers);
    fleet.pool.delete('gpu');
    expect(fleet.give(gpu)).toBeUndefined();
    fleet.join(worker('late', { labels: ['gpu=h100', 'disk=ssd'] }));
    expect(fleet.give(gpu)).toBe('late');
  });
});

describe('reservations', () => {
  const reserved = [
    { of: 'workflow', name: 'urgent', slots: 2 },
    { of: 'type', name: 'http', slots: 1 },
  ] as const;
  const one = worker('a', { capacity: 4, types: ['log', 'http'], reserved });
  const urgent = demand('log', [], 'urgent');

  it('keep slots for a workflow or a type, which may have more than those', () => {
    const fleet = new Fleet('least-loaded', [one]);
    expect(fleet.giveSome(2)).toEqual(['a', undefined]);
    expect(fleet.giveSome(2, urgent)).toEqual(['a', 'a']);
    expect(fleet.give(urgent)).toBeUndefined();
    expect(fleet.give(demand('http'))).toBe('a');
    expect(fleet.counts).toEqual({ a: 4 });
  });

  it('are in use by whatever they are for, so what is kept shrinks with it', () => {
    const fleet = new Fleet('least-loaded', [one]);
    expect(fleet.giveSome(3, urgent)).toEqual(['a', 'a', 'a']);
    expect(fleet.give()).toBeUndefined();
    expect(fleet.give(demand('http'))).toBe('a');
  });

  it('of a workflow go before those of a type', () => {
    expect(reservationFor(reserved, demand('http', [], 'urgent'))).toBe(0);
    expect(reservationFor(reserved, demand('http'))).toBe(1);
    expect(reservationFor(reserved, demand())).toBe(-1);
    expect(freeSlots(one, { used: 1, usedReserved: [1, 0] }, -1)).toBe(1);
  });
});

describe('a worker that is in doubt', () => {
  it('is given only what nobody else has room for', () => {
    const fleet = new Fleet('least-loaded', [worker('a', { capacity: 2 })]);
    fleet.join(worker('b', { capacity: 2 }), true);
    expect(fleet.giveSome(3)).toEqual(['a', 'a', 'b']);
  });
});

describe('room', () => {
  it('is there while anybody could be given something, be it of what slots are kept for', () => {
    const fleet = new Fleet('least-loaded', []);
    expect(fleet.pool.hasRoom).toBe(false);
    fleet.join(
      worker('a', { capacity: 2, reserved: [{ of: 'type', name: 'http', slots: 1 }], types: ['log', 'http'] }),
    );
    expect(fleet.giveSome(2)).toEqual(['a', undefined]);
    expect(fleet.pool.hasRoom).toBe(true);
    fleet.give(demand('http'));
    expect(fleet.pool.hasRoom).toBe(false);
    fleet.end('a');
    expect(fleet.pool.hasRoom).toBe(true);
    fleet.pool.delete('a');
    expect(fleet.pool.hasRoom).toBe(false);
  });
});

describe('a large pool', () => {
  it('takes about as long for a task of a thousand workers as of ten', () => {
    const seconds = (count: number): number => {
      const fleet = new Fleet(
        'least-loaded',
        Array.from({ length: count }, (_, n) => worker(`w${String(n)}`, { capacity: 20_000 / count })),
      );
      const from = performance.now();
      fleet.giveSome(10_000);
      return performance.now() - from;
    };
    // Of several, so that a machine that is busy for a moment does not count.
    const best = (count: number): number => Math.min(...[1, 2, 3].map(() => seconds(count)));
    const few = best(10);
    // A walk over all workers would take a hundred times as long.
    expect(best(1_000)).toBeLessThan(25 * few + 50);
  });
});
