import { describe, expect, it } from '@jest/globals';
import { planProvision, provision } from './provision.ts';

const need = { program: 'no-such-program', package: 'no-such-package', neededFor: 'this test' };

describe('planProvision()', () => {
  it.each([
    [{ isRoot: true, isCi: true, hasFlag: false }, true],
    [{ isRoot: true, isCi: false, hasFlag: true }, true],
    [{ isRoot: true, isCi: false, hasFlag: false }, false],
    [{ isRoot: false, isCi: true, hasFlag: true }, false],
  ])('for %j installs: %s', (asker, installs) => {
    expect(planProvision([need], asker)).toEqual(
      installs ? { install: [need], leftOut: [] } : { install: [], leftOut: [need] },
    );
  });
});

describe('provision()', () => {
  it('asks for nothing that is already there', () => {
    expect(provision([{ ...need, program: 'sh' }], [])).toEqual([]);
  });
});
