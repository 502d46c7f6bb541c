import { describe, expect, it } from '@jest/globals';
import { LineSplitter } from './line-splitter.ts';
import { LogBudget } from './log-budget.ts';
import { LOG_LINES_PER_SECOND_MAX } from './plugin-protocol.ts';
import { Suspects } from './suspects.ts';

describe('LineSplitter', () => {
  function split(...chunks: Buffer[]): string[] {
    const lines: string[] = [];
    const splitter = new LineSplitter(5, (line) => lines.push(line));
    for (const chunk of chunks) splitter.push(chunk);
    splitter.end();
    return lines;
  }

  it('joins what comes in pieces, characters included', () => {
    const euro = Buffer.from('€');
    expect(
      split(Buffer.from('a\nb'), Buffer.from('c'), euro.subarray(0, 1), euro.subarray(1), Buffer.from('\n\nd')),
    ).toEqual(['a', 'bc€', 'd']);
  });

  it('cuts a long line and skips the rest of it', () => {
    expect(split(Buffer.from('123456'), Buffer.from('789\nab\n1234567\nc'))).toEqual(['12345…', 'ab', '12345…', 'c']);
  });
});

describe('LogBudget', () => {
  it('drops what is over the limit of a second and tells how much', () => {
    const budget = new LogBudget();
    for (let i = 0; i < LOG_LINES_PER_SECOND_MAX; i++) expect(budget.take(10)).toEqual({ dropped: 0 });
    expect([budget.take(20), budget.take(1_000)]).toEqual([false, false]);
    expect(budget.take(1_010)).toEqual({ dropped: 2 });
    expect(budget.take(1_011)).toEqual({ dropped: 0 });
  });
});

describe('Suspects', () => {
  it('trusts a type again after a minute, or when told', () => {
    const suspects = new Suspects();
    suspects.add('a', 0);
    suspects.add('b', 1_000);
    suspects.add('c', 1_000);
    suspects.delete('c');
    suspects.expire(60_000);
    expect(['a', 'b', 'c'].map((type) => suspects.has(type))).toEqual([false, true, false]);
  });
});
