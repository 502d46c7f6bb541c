import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CallTable, type Call } from './call-table.ts';
import { HeldCalls } from './held-calls.ts';

function started<T>(table: CallTable<T>): Call<T>[] {
  const calls: Call<T>[] = [];
  for (let call = table.start(); call !== undefined; call = table.start()) calls.push(call);
  return calls;
}

describe('call table', () => {
  it('starts nothing before the other end gave credit, then as much as it gave, in order', () => {
    const table = new CallTable<string>();
    for (const name of ['a', 'b', 'c']) table.submit(10, 100, name);
    expect(started(table)).toEqual([]);
    table.grant(2, 1_000);
    expect(started(table).map(({ id, context }) => [id, context])).toEqual([
      [1, 'a'],
      [2, 'b'],
    ]);
    expect(table.answer(1)).toMatchObject({ context: 'a' });
    expect(started(table).map(({ context }) => context)).toEqual(['c']);
  });

  it('counts bytes too, and a large call is not overtaken by small ones', () => {
    const table = new CallTable<string>();
    table.grant(10, 100);
    for (const [name, bytes] of [
      ['a', 60],
      ['large', 90],
      ['small', 10],
    ] as const)
      table.submit(bytes, 100, name);
    expect(started(table).map(({ context }) => context)).toEqual(['a']);
    expect(table.hasRoom(1)).toBe(false);
    table.answer(1);
    expect(started(table).map(({ context }) => context)).toEqual(['large', 'small']);
  });

  it('refuses what would wait beyond the limits, and takes it again once there is room', () => {
    const table = new CallTable<number>({ waitingCallsMax: 3, waitingBytesMax: 25 });
    expect([1, 2, 3].map((n) => table.submit(10, 100, n) !== undefined)).toEqual([true, true, false]);
    expect(table.submit(5, 100, 4)).toBeDefined();
    expect(table.submit(0, 100, 5)).toBeUndefined();
    table.grant(1, 100);
    started(table);
    expect(table.submit(0, 100, 6)).toBeDefined();
  });

  it('keeps the credit of an abandoned call until its answer, and tells late answers from unasked ones', () => {
    const table = new CallTable<string>();
    table.grant(1, 100);
    const call = table.submit(10, 100, 'a')!;
    started(table);
    expect([table.abandon(call), table.abandon(call)]).toEqual([true, false]);
    table.submit(10, 100, 'b');
    expect(started(table)).toEqual([]);
    expect([table.answer(1), table.answer(1), table.answer(9)]).toEqual(['late', 'unknown', 'unknown']);
    expect(started(table).map(({ context }) => context)).toEqual(['b']);
  });

  it('expires by deadline and closes with the rest', () => {
    const table = new CallTable<string>();
    table.grant(1, 100);
    table.submit(1, 50, 'sent');
    table.submit(1, 60, 'waits');
    table.submit(1, 200, 'waits long');
    started(table);
    expect(table.expire(60).map(({ context }) => context)).toEqual(['sent', 'waits']);
    expect(table.close().map(({ context, id }) => [context, id])).toEqual([['waits long', 0]]);
    expect([table.openCalls, table.openBytes, table.waitingCalls]).toEqual([0, 0, 0]);
  });

  it('stays within the credit whatever happens, settles each call once, and agrees with the answering side', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('submit' as const), bytes: fc.integer({ min: 0, max: 40 }), deadline: fc.nat(100) }),
      fc.record({ do: fc.constant('answer' as const), pick: fc.nat() }),
      fc.record({ do: fc.constant('abandon' as const), pick: fc.nat() }),
      fc.record({ do: fc.constant('expire' as const), now: fc.nat(100) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const window = { calls: 5, bytes: 100 };
        const table = new CallTable<number>({ waitingCallsMax: 10, waitingBytesMax: 200 });
        table.grant(window.calls, window.bytes);
        const held = new HeldCalls(window);
        const onWire: Call<number>[] = [];
        const all: Call<number>[] = [];
        const settled = new Set<number>();
        const settle = (call: Call<number>): void => {
          expect(settled.has(call.context)).toBe(false);
          settled.add(call.context);
        };
        for (const one of steps) {
          if (one.do === 'submit') {
            const call = table.submit(one.bytes, one.deadline, all.length);
            if (call !== undefined) all.push(call);
          } else if (one.do === 'answer' && onWire.length > 0) {
            const [call] = onWire.splice(one.pick % onWire.length, 1);
            expect(held.release(call!.id)).toBe(call!.bytes);
            const answered = table.answer(call!.id);
            if (answered !== 'late') settle(answered as Call<number>);
          } else if (one.do === 'abandon' && all.length > 0) {
            const call = all[one.pick % all.length]!;
            if (table.abandon(call)) settle(call);
          } else if (one.do === 'expire') table.expire(one.now).forEach(settle);
          for (const call of started(table)) {
            expect(held.take(call.id, call.bytes)).toBe('taken');
            onWire.push(call);
          }
          expect([table.openCalls, table.openBytes]).toEqual([held.calls, held.bytes]);
          expect(table.waitingCalls).toBeLessThanOrEqual(10);
        }
        table.close().forEach(settle);
        expect(settled.size).toBe(all.length);
      }),
      { numRuns: 300 },
    );
  });
});

describe('held calls', () => {
  it('tells a caller that uses an id twice or more than its credit', () => {
    const held = new HeldCalls({ calls: 2, bytes: 100 });
    expect([held.take(1, 60), held.take(1, 1), held.take(2, 50), held.take(3, 40), held.take(4, 0)]).toEqual([
      'taken',
      'repeated_id',
      'over_credit',
      'taken',
      'over_credit',
    ]);
    expect([held.release(1), held.release(1)]).toEqual([60, undefined]);
  });
});
