import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compareStanding, isSound, merge, STATUS, type Standing } from './claim.ts';

const details = fc
  .integer({ min: 0, max: 5 })
  .map((version) => ({ version, role: 'worker', address: `10.0.0.${version}:1`, softwareVersion: '1', labels: [] }));
const standing: fc.Arbitrary<Standing> = fc
  .record({
    incarnation: fc.integer({ min: 0, max: 4 }),
    status: fc.integer({ min: 0, max: 3 }),
    details: fc.option(details, { nil: undefined }),
  })
  .map(({ details: told, ...rest }) => ({ id: 'a', ...rest, ...(told === undefined ? {} : { details: told }) }));

describe('merge()', () => {
  it('gives the same in either order', () => {
    fc.assert(fc.property(standing, standing, (a, b) => expect(merge(a, b)).toEqual(merge(b, a))));
  });

  it('gives the same however it is grouped', () => {
    fc.assert(
      fc.property(standing, standing, standing, (a, b, c) => {
        expect(merge(merge(a, b), c)).toEqual(merge(a, merge(b, c)));
      }),
    );
  });

  it('gives what is held, the very same, when nothing is new', () => {
    fc.assert(
      fc.property(standing, standing, (a, b) => {
        const once = merge(a, b);
        expect(merge(once, b)).toBe(once);
        expect(merge(once, a)).toBe(once);
        expect(merge(a, a)).toBe(a);
      }),
    );
  });

  it('never goes back', () => {
    fc.assert(
      fc.property(standing, standing, (a, b) => expect(compareStanding(merge(a, b), a)).toBeGreaterThanOrEqual(0)),
    );
  });
});

describe('compareStanding()', () => {
  const at = (incarnation: number, status: number): Standing => ({ id: 'a', incarnation, status });

  it('puts alive below suspected below failed below left at the same incarnation', () => {
    const order = [STATUS.alive, STATUS.suspected, STATUS.failed, STATUS.left].map((status) => at(7, status));
    for (const [index, lower] of order.entries()) {
      for (const higher of order.slice(index + 1)) expect(compareStanding(higher, lower)).toBeGreaterThan(0);
    }
  });

  it('puts any standing of a higher incarnation above', () => {
    expect(compareStanding(at(8, STATUS.alive), at(7, STATUS.left))).toBeGreaterThan(0);
    expect(compareStanding(at(7, STATUS.left), at(8, STATUS.alive))).toBeLessThan(0);
  });
});

describe('isSound()', () => {
  it.each([
    ['without a name', { id: '', incarnation: 1, status: 0 }],
    ['with a name without end', { id: 'x'.repeat(129), incarnation: 1, status: 0 }],
    ['with a status of another version', { id: 'a', incarnation: 1, status: 4 }],
    ['with a number to which none can be added', { id: 'a', incarnation: Number.MAX_SAFE_INTEGER, status: 1 }],
    [
      'with such a version of its details',
      {
        ...{ id: 'a', incarnation: 1, status: 0 },
        details: { version: 2 ** 53 - 1, role: 'worker', address: '', softwareVersion: '', labels: [] },
      },
    ],
  ])('refuses a claim %s', (_name, claim) => {
    expect(isSound(claim)).toBe(false);
  });

  it('takes what a member says', () => {
    expect(isSound({ id: 'worker-1', incarnation: 300, status: STATUS.left })).toBe(true);
  });
});
