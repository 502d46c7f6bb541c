import { describe, expect, it } from '@jest/globals';
import { LocalHealth } from './local-health.ts';
import { Suspicion } from './suspicion.ts';

const TIMES = { minMs: 1_000, maxMs: 4_000, confirmationsMax: 3 };

describe('Suspicion', () => {
  it('gives the longest time while one member alone has no answer', () => {
    expect(new Suspicion('a', 500, TIMES).deadlineMs).toBe(4_500);
  });

  it('gets shorter with each that confirms, by the logarithm, down to the shortest', () => {
    const suspicion = new Suspicion('a', 0, TIMES);
    const deadlines = ['b', 'c', 'd'].map((accuser) => {
      expect(suspicion.confirm(accuser)).toBe(true);
      return suspicion.deadlineMs;
    });
    expect(deadlines[0]).toBeCloseTo(2_500);
    expect(deadlines[1]).toBeCloseTo(4_000 - (3_000 * Math.log(3)) / Math.log(4));
    expect(deadlines[2]).toBeCloseTo(1_000);
    expect(suspicion.confirm('e')).toBe(false);
    expect(suspicion.accuser).toBe('a');
  });

  it('counts nobody twice', () => {
    const suspicion = new Suspicion('a', 0, TIMES);
    expect(suspicion.confirm('a')).toBe(false);
    expect(suspicion.confirm('b')).toBe(true);
    expect(suspicion.confirm('b')).toBe(false);
    expect(suspicion.deadlineMs).toBeCloseTo(2_500);
  });

  it('is short where nobody else could confirm, and once the time has run out elsewhere', () => {
    expect(new Suspicion('a', 0, { ...TIMES, confirmationsMax: 0 }).deadlineMs).toBe(1_000);
    const suspicion = new Suspicion('a', 0, TIMES);
    suspicion.shorten();
    expect(suspicion.deadlineMs).toBe(1_000);
  });

  it('lasts the shortest time at least from when the suspected one was heard', () => {
    const suspicion = new Suspicion('a', 0, TIMES);
    suspicion.shorten();
    suspicion.heard(900);
    expect(suspicion.deadlineMs).toBe(1_900);
  });
});

describe('LocalHealth', () => {
  it('stays between good and its limit', () => {
    const health = new LocalHealth(8);
    health.change(-1);
    expect([health.score, health.factor]).toEqual([0, 1]);
    health.change(20);
    expect([health.score, health.factor]).toEqual([8, 9]);
    health.change(-3);
    expect(health.factor).toBe(6);
  });
});
