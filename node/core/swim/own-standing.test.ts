import { describe, expect, it } from '@jest/globals';
import type { MemberClaim } from '../tlv/messages.ts';
import { OwnClock } from './own-clock.ts';
import { OwnStanding } from './own-standing.ts';

const DETAILS = { role: 'worker', address: '10.0.0.1:7400', softwareVersion: '1', labels: [] };

function start(ceiling: number) {
  const asked: number[] = [];
  const told: MemberClaim[] = [];
  const own = new OwnStanding({
    id: 'me',
    details: DETAILS,
    ceiling,
    persist: (number) => asked.push(number),
    tell: (claim) => told.push(claim),
  });
  own.start();
  const flush = (): void => own.persisted(asked.at(-1) ?? 0);
  return { own, asked, told, flush };
}

describe('OwnStanding', () => {
  it('says nothing before its first numbers are durable', () => {
    const { own, asked, told, flush } = start(0);
    expect([own.started, told.length]).toEqual([false, 0]);
    expect(asked).toHaveLength(1);
    flush();
    expect(own.started).toBe(true);
    expect(told).toMatchObject([{ id: 'me', incarnation: 1, status: 0, details: { version: 1 } }]);
  });

  it('begins above everything an earlier life may have told', () => {
    const { own, told, flush } = start(700);
    flush();
    expect(own.incarnation).toBe(701);
    expect(told[0]?.details?.version).toBe(701);
  });

  it('answers an accusation with a higher incarnation, and a stale one not at all', () => {
    const { own, flush, told } = start(0);
    flush();
    expect(own.learn({ id: 'me', incarnation: 1, status: 1 })).toBe(true);
    expect(own.incarnation).toBe(2);
    expect(told.at(-1)).toEqual({ id: 'me', incarnation: 2, status: 0 });
    expect(own.learn({ id: 'me', incarnation: 1, status: 2 })).toBe(false);
    expect(own.incarnation).toBe(2);
    expect(own.correctionOf({ id: 'me', incarnation: 1, status: 2 })).toEqual({ id: 'me', incarnation: 2, status: 0 });
    expect(own.correctionOf({ id: 'me', incarnation: 2, status: 1 })).toBeUndefined();
  });

  it('stays above a life that its disk has forgotten, once that is durable', () => {
    const { own, asked, flush } = start(0);
    flush();
    own.learn({ id: 'me', incarnation: 5_000, status: 2 });
    expect(own.incarnation).toBe(1);
    expect(asked.at(-1)).toBeGreaterThan(5_000);
    flush();
    expect(own.incarnation).toBe(5_001);
  });

  it('tells new details with a higher version', () => {
    const { own, told, flush } = start(0);
    flush();
    own.describe({ ...DETAILS, labels: ['disk=fast'] });
    expect(told.at(-1)?.details).toMatchObject({ version: 2, labels: ['disk=fast'] });
  });

  it('has left for good', () => {
    const { own, told, flush } = start(0);
    flush();
    own.leave();
    expect(told.at(-1)?.status).toBe(3);
    expect(own.learn({ id: 'me', incarnation: 1, status: 3 })).toBe(false);
    expect(own.claim.status).toBe(3);
  });
});

describe('OwnClock', () => {
  it('stands still while the process does, but for the tolerance', () => {
    const clock = new OwnClock(1_000, 50);
    expect(clock.read(1_100, 1_100)).toEqual({ ownMs: 1_100, stillMs: 0 });
    expect(clock.read(1_540, 1_500)).toEqual({ ownMs: 1_540, stillMs: 0 });
    expect(clock.read(3_600, 1_600)).toEqual({ ownMs: 1_650, stillMs: 1_950 });
    expect(clock.driverMs(2_000)).toBe(3_950);
  });

  it('does not count an early wake-up, nor a clock that went back', () => {
    const clock = new OwnClock(1_000, 50);
    expect(clock.read(1_400, 9_000).stillMs).toBe(0);
    expect(clock.read(1_300, 9_000)).toEqual({ ownMs: 1_400, stillMs: 0 });
  });
});
