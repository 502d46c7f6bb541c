import { describe, expect, it } from '@jest/globals';
import { membershipOf } from './core/raft/membership.ts';
import { HASH_INTERVAL, StateHashes } from './state-hashes.ts';

const three = membershipOf(['a', 'b', 'c']);
const [first, second] = [HASH_INTERVAL, 2 * HASH_INTERVAL];

/** Of node a, which has applied 7 at the first index and 8 at the second. */
function hashes(): StateHashes {
  const own = new StateHashes('a');
  own.applied(first, 7);
  own.applied(first + 1, 1);
  own.applied(second, 8);
  return own;
}

const at = (hashIndex: number, stateHash: number) => ({ hashIndex, stateHash });

describe('state hashes', () => {
  it('are told at round indexes, as long as they are known', () => {
    const own = hashes();
    expect(own.latest(second + 5)).toEqual(at(second, 8));
    expect(own.latest(first)).toEqual(at(first, 7));
    expect(own.latest(first - 1)).toEqual(at(0, 0));
    for (let i = 3; i < 100; i++) own.applied(i * HASH_INTERVAL, i);
    expect(own.latest(first)).toEqual(at(0, 0));
    own.clear();
    expect(own.latest(99 * HASH_INTERVAL)).toEqual(at(0, 0));
  });

  it('agree once a majority has told the same', () => {
    const own = hashes();
    expect(own.agreed).toEqual(at(0, 0));
    expect(own.heard('b', at(first, 7), three)).toBe(false);
    expect(own.agreed).toEqual(at(first, 7));
    own.heard('c', at(second, 8), three);
    own.heard('b', at(first, 7), three);
    expect(own.agreed).toEqual(at(second, 8));
    expect(own.disputed).toBe(false);
  });

  it('of a minority are noticed once, and hold up nothing', () => {
    const own = hashes();
    own.heard('b', at(first, 7), three);
    expect(own.heard('c', at(first, 99), three)).toBe(true);
    expect(own.heard('c', at(first, 99), three)).toBe(false);
    expect(own.disputed).toBe(false);
  });

  it('that differ without a majority are disputed until there is one', () => {
    const own = hashes();
    own.heard('b', at(first, 99), three);
    expect(own.disputed).toBe(true);
    own.heard('c', at(first, 98), three);
    expect(own.disputed).toBe(true);
    own.heard('c', at(second, 8), three);
    expect(own.disputed).toBe(false);
    own.heard('b', at(first, 97), three);
    expect(own.disputed).toBe(false);
  });

  it('are heard anew by a new leadership', () => {
    const own = hashes();
    own.heard('b', at(first, 99), three);
    own.begin();
    expect(own.disputed).toBe(false);
    own.heard('b', at(first, 99), three);
    expect(own.disputed).toBe(true);
  });

  it('of learners neither agree nor dispute', () => {
    const own = hashes();
    const one = { ...membershipOf(['a', 'b', 'c']), learners: ['d', 'e'] };
    own.heard('d', at(first, 99), one);
    own.heard('e', at(first, 99), one);
    expect(own.disputed).toBe(false);
    expect(own.agreed).toEqual(at(0, 0));
  });

  it('need both majorities while the members change', () => {
    const own = hashes();
    const joint = { voters: ['a', 'd', 'e'], outgoing: ['a', 'b', 'c'], learners: [] };
    own.heard('d', at(first, 7), joint);
    expect(own.agreed).toEqual(at(0, 0));
    own.heard('b', at(first, 7), joint);
    expect(own.agreed).toEqual(at(first, 7));
  });

  it('stop the replica that has another one than the majority, be it the leader', () => {
    const own = hashes();
    own.check(at(first, 7));
    own.check(at(3 * HASH_INTERVAL, 1));
    expect(() => own.check(at(second, 7))).toThrow('the state of "a" has diverged');
    own.heard('b', at(first, 99), three);
    expect(() => own.heard('c', at(first, 99), three)).toThrow('Replace this coordinator');
  });
});
