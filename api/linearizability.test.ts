import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { linearizable, type Model, type Operation, violations } from '../base/linearizability.ts';
import { MESSAGE, type MessageInput, type MessageOutput, RULE, type RuleInput, type RuleOutput } from './models.ts';

type Register = Operation<number | 'read', number>;

/** A number that is written and read. */
const REGISTER: Model<number, number | 'read', number> = {
  initial: 0,
  step: (state, input, output) => {
    if (input !== 'read') return input;
    return output === undefined || output === state ? state : undefined;
  },
};

const write = (value: number, calledAt: number, at?: number): Register => ({
  input: value,
  calledAt,
  ...(at === undefined ? {} : { returned: { at, output: value } }),
});
const read = (output: number, calledAt: number, at: number): Register => ({
  input: 'read',
  calledAt,
  returned: { at, output },
});

const GOOD: [string, Register[]][] = [
  ['nothing', []],
  ['one after the other', [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)]],
  ['a read beside a write sees the old value', [write(1, 0, 10), read(0, 1, 2)]],
  ['a read beside a write sees the new value', [write(1, 0, 10), read(1, 1, 2), read(1, 3, 4)]],
  ['two writes side by side, in either order', [write(1, 0, 10), write(2, 0, 10), read(1, 11, 12)]],
  ['a write of unknown outcome that never happens', [write(1, 0), read(0, 5, 6)]],
  ['a write of unknown outcome that happens late', [write(1, 0), read(0, 5, 6), read(1, 7, 8)]],
  ['a write that touches a read', [write(1, 0, 5), read(0, 5, 6)]],
];
const BAD: [string, Register[]][] = [
  ['a value that nobody wrote', [read(7, 0, 1)]],
  ['a stale read', [write(1, 0, 1), read(0, 2, 3)]],
  ['new, then old', [write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)]],
  ['a write of unknown outcome that happens and unhappens', [write(1, 0), read(1, 5, 6), read(0, 7, 8)]],
  ['readers that disagree on the order', [write(1, 0, 9), write(2, 0, 9), read(1, 10, 11), read(2, 12, 13)]],
  ['a read of a write that is called later', [read(1, 0, 1), write(1, 2, 3)]],
];

describe('linearizable()', () => {
  it.each(GOOD)('takes: %s', (_name, operations) => {
    expect(linearizable(REGISTER, operations)).toBe('linearizable');
  });

  it.each(BAD)('refuses: %s', (_name, operations) => {
    expect(linearizable(REGISTER, operations)).toBe('not linearizable');
  });

  it('takes every history of a real register, however its calls overlap and whatever outcomes are lost', () => {
    const step = fc.record({
      isWrite: fc.boolean(),
      before: fc.nat(30),
      after: fc.nat(30),
      isLost: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        let value = 0;
        const operations = steps.map(({ isWrite, before, after, isLost }, i): Register => {
          const now = 10 * i;
          if (isWrite) value = i + 1;
          const returned = { at: now + after, output: value };
          // A read whose answer is lost is no part of the history.
          return {
            input: isWrite ? value : 'read',
            calledAt: now - before,
            ...(isWrite && isLost ? {} : { returned }),
          };
        });
        expect(linearizable(REGISTER, operations)).toBe('linearizable');
      }),
    );
  });

  it('agrees with trying every order', () => {
    const operation = fc
      .record({ input: fc.constantFrom<(number | 'read')[]>('read', 1, 2), calledAt: fc.nat(6), lasts: fc.nat(4) })
      .chain(({ input, calledAt, lasts }) =>
        fc.record({
          input: fc.constant(input),
          calledAt: fc.constant(calledAt),
          returned: fc.record({ at: fc.constant(calledAt + lasts), output: fc.constantFrom(0, 1, 2) }),
        }),
      );
    const isPossible = (rest: readonly Required<Register>[], state: number): boolean =>
      rest.length === 0 ||
      rest.some((one) => {
        if (rest.some((other) => other.returned.at < one.calledAt)) return false;
        const next = REGISTER.step(state, one.input, one.returned.output);
        return (
          next !== undefined &&
          isPossible(
            rest.filter((other) => other !== one),
            next,
          )
        );
      });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 6 }), (operations) => {
        expect(linearizable(REGISTER, operations) === 'linearizable').toBe(isPossible(operations, 0));
      }),
      { numRuns: 500 },
    );
  });

  it('judges hundreds of overlapping operations', () => {
    const operations: Register[] = [];
    for (let i = 1; i <= 400; i++) operations.push(write(i, 10 * i, 10 * i + 35), read(i, 10 * i + 9, 10 * i + 11));
    expect(linearizable(REGISTER, operations)).toBe('linearizable');
  });
});

describe('violations()', () => {
  it('names the object, and shows no more of its history than what is wrong', () => {
    const good: Register[] = [write(1, 0, 1), read(1, 2, 3)];
    const bad: Register[] = [...good, write(2, 4, 5), read(1, 6, 7), write(3, 8, 9), read(3, 10, 11)];
    const found = violations(REGISTER, new Map([['a', good] as const, ['b', bad] as const]));
    expect(found).toEqual([{ object: 'b', operations: bad.slice(0, 4) }]);
  });
});

describe('models', () => {
  const put = (version: number, calledAt: number, at: number): Operation<RuleInput, RuleOutput> => ({
    input: { kind: 'put', version },
    calledAt,
    returned: { at, output: { version } },
  });

  it('a rule that was deleted is gone, and can be put again', () => {
    const gone = { input: { kind: 'get' }, calledAt: 4, returned: { at: 5, output: 'not found' } } as const;
    const removed = { input: { kind: 'delete' }, calledAt: 2, returned: { at: 3, output: { version: 0 } } } as const;
    expect(linearizable(RULE, [put(1, 0, 1), removed, gone, put(2, 6, 7)])).toBe('linearizable');
    expect(linearizable(RULE, [put(1, 0, 1), gone])).toBe('not linearizable');
    expect(linearizable(RULE, [removed])).toBe('not linearizable');
  });

  it('a key gives one message, also when its first try was never answered', () => {
    type Try = Operation<MessageInput, MessageOutput>;
    const lost: Try = { input: { kind: 'submit' }, calledAt: 0 };
    const submit = (id: string, duplicate: boolean, calledAt: number): Try => ({
      input: { kind: 'submit' },
      calledAt,
      returned: { at: calledAt + 1, output: { id, duplicate } },
    });
    const get = (id: string, output: 'found' | 'not found', calledAt: number): Try => ({
      input: { kind: 'get', id },
      calledAt,
      returned: { at: calledAt + 1, output },
    });
    expect(linearizable(MESSAGE, [lost, submit('a', true, 5), get('a', 'found', 7)])).toBe('linearizable');
    expect(linearizable(MESSAGE, [submit('a', true, 5)])).toBe('not linearizable');
    expect(linearizable(MESSAGE, [submit('a', false, 5), submit('b', false, 8)])).toBe('not linearizable');
    expect(linearizable(MESSAGE, [submit('a', false, 5), get('a', 'not found', 7)])).toBe('not linearizable');
    expect(linearizable(MESSAGE, [lost, get('a', 'not found', 5), submit('a', false, 8)])).toBe('linearizable');
  });
});
