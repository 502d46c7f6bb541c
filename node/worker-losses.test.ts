import { beforeEach, describe, expect, it } from '@jest/globals';
import { MASS_FAILURE_WAIT_MS, WorkerLosses } from './worker-losses.ts';

const LOSS_MS = 2_000;
const WORKERS = ['w1', 'w2', 'w3', 'w4', 'w5'];

let registered: Map<string, unknown>;
let gone: Set<string>;
let losses: WorkerLosses;

beforeEach(() => {
  registered = new Map(WORKERS.map((id) => [id, {}]));
  gone = new Set();
  losses = new WorkerLosses({ lossMs: LOSS_MS, registered: () => registered, isGone: (id) => gone.has(id) });
});

function take(nowMs: number): string[] {
  const ids = losses.take(nowMs).map(({ workerId }) => workerId);
  for (const id of ids) registered.delete(id);
  return ids;
}

describe('a worker without a connection', () => {
  it('is given up after its time, once, and not when it is back before', () => {
    losses.disconnected('w1', 100);
    losses.disconnected('w2', 200);
    losses.connected('w2');
    expect(take(100 + LOSS_MS - 1)).toEqual([]);
    expect(losses.take(100 + LOSS_MS)).toEqual([{ workerId: 'w1', reason: 'no connection for 2000 ms' }]);
    expect(take(10_000)).toEqual([]);
  });

  it('is given up at once when gossip has found it gone, and never for gossip alone', () => {
    gone.add('w1').add('w2');
    losses.disconnected('w1', 100);
    expect(take(100)).toEqual(['w1']);
    expect(take(60_000)).toEqual([]);
  });

  it('has all its time again with a new leader', () => {
    losses.disconnected('w1', 0);
    losses.begin(['w1'], 1_900);
    expect(take(LOSS_MS)).toEqual([]);
    expect(take(1_900 + LOSS_MS)).toEqual(['w1']);
  });
});

describe('more than half of the workers at once', () => {
  function failAtOnce(ids: readonly string[]): void {
    for (const id of ids) losses.disconnected(id, 0);
  }

  it('are waited for, and given up when that takes too long', () => {
    failAtOnce(['w1', 'w2', 'w3']);
    gone.add('w1');
    expect(take(0)).toEqual([]);
    expect(losses.suspension).toEqual({ sinceMs: 0, missing: 3, workers: 5 });
    expect(take(MASS_FAILURE_WAIT_MS - 1)).toEqual([]);
    expect(take(MASS_FAILURE_WAIT_MS)).toEqual(['w1', 'w2', 'w3']);
    expect(losses.suspension).toBeUndefined();
  });

  it('that come back leave the last of them the time they had', () => {
    failAtOnce(['w1', 'w2', 'w3']);
    expect(take(LOSS_MS)).toEqual([]);
    losses.connected('w1');
    expect(take(9_000)).toEqual([]);
    expect(losses.suspension).toBeUndefined();
    losses.connected('w2');
    expect(take(9_000 + LOSS_MS - 1)).toEqual([]);
    expect(take(9_000 + LOSS_MS)).toEqual(['w3']);
  });

  it('are waited for no longer because one of them comes and goes', () => {
    failAtOnce(['w1', 'w2', 'w3']);
    const lost: string[] = [];
    let lostMs = 0;
    for (let nowMs = 0; nowMs <= 120_000 && lost.length < 2; nowMs += 100) {
      // Away for 2.5 s, there for half a second, over and over.
      if (nowMs % 3_000 === 2_500) losses.connected('w3');
      else if (nowMs % 3_000 === 0) losses.disconnected('w3', nowMs);
      lost.push(...take(nowMs));
      lostMs = nowMs;
    }
    expect(lost).toEqual(['w1', 'w2']);
    expect(lostMs).toBeLessThanOrEqual(LOSS_MS + MASS_FAILURE_WAIT_MS + 3_000);
  });

  it('include those whose time is not over yet when the first is due', () => {
    losses.disconnected('w1', 0);
    losses.disconnected('w2', 1_000);
    losses.disconnected('w3', 1_900);
    expect(take(LOSS_MS)).toEqual([]);
    expect(losses.suspension).toMatchObject({ missing: 3 });
  });

  it.each([
    ['half of them', ['w1', 'w2', 'w3'], ['w4', 'w5', 'w6']],
    ['two, the only ones', ['w1', 'w2'], []],
  ])('it is not when they are %s', (_, failing, others) => {
    registered = new Map([...failing, ...others].map((id) => [id, {}]));
    failAtOnce(failing);
    expect(take(LOSS_MS)).toEqual(failing);
  });

  it('it is not when one after the other goes', () => {
    for (const [n, id] of ['w1', 'w2', 'w3', 'w4'].entries()) {
      losses.disconnected(id, n * LOSS_MS);
      expect(take((n + 1) * LOSS_MS)).toEqual([id]);
    }
  });

  it('counts no connection of somebody who is not registered', () => {
    failAtOnce(['x1', 'x2', 'x3', 'w1']);
    expect(take(LOSS_MS)).toContain('w1');
  });
});
