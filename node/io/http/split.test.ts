import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DistricError } from '../../../base/errors.ts';
import { splitArray, splitLines, startsArray } from './split.ts';

function slices(body: string, split: (bytes: Buffer, itemsMax: number) => number[], itemsMax = 100): string[] {
  const bytes = Buffer.from(body);
  const ranges = split(bytes, itemsMax);
  const texts: string[] = [];
  for (let i = 0; i < ranges.length; i += 2) texts.push(bytes.toString('utf8', ranges[i], ranges[i + 1]));
  return texts;
}

function codeOf(body: string, split: (bytes: Buffer, itemsMax: number) => number[], itemsMax = 100): string {
  try {
    slices(body, split, itemsMax);
    return 'none';
  } catch (error) {
    if (error instanceof DistricError) return error.code;
    throw error;
  }
}

describe('splitArray()', () => {
  it('cuts any JSON array into texts that parse to its items', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 20 }), fc.constantFrom(0, 1, '\t'), (items, indent) => {
        const parsed = slices(JSON.stringify(items, null, indent), splitArray).map((text): unknown => JSON.parse(text));
        expect(parsed).toEqual(JSON.parse(JSON.stringify(items)));
      }),
      { numRuns: 200 },
    );
  });

  it('is not misled by brackets, commas and escaped quotes in strings', () => {
    expect(slices(' [ {"a":"],}\\"[{\\\\"} , "é,]" ]\n', splitArray)).toEqual(['{"a":"],}\\"[{\\\\"}', '"é,]"']);
  });

  it.each([
    '[',
    '[{"a":1}',
    '[{"a":1},]',
    '[,{"a":1}]',
    '[{"a":1},,{"b":2}]',
    '[{"a":1}]x',
    '[{"a":1}}',
    '["abc',
    '["abc\\',
  ])('refuses the broken array %s', (body) => {
    expect(codeOf(body, splitArray)).toBe('INVALID_JSON');
  });

  it('refuses more items than the limit, and takes as many', () => {
    expect(slices('[1,2,3]', splitArray, 3)).toHaveLength(3);
    expect(codeOf('[1,2,3,4]', splitArray, 3)).toBe('PAYLOAD_TOO_LARGE');
    expect(codeOf('[1,2,3,4,5,6,7', splitArray, 3)).toBe('PAYLOAD_TOO_LARGE');
  });

  it('takes any depth without recursion', () => {
    const deep = '['.repeat(200_000) + ']'.repeat(200_000);
    expect(slices(deep, splitArray)).toEqual([deep.slice(1, -1)]);
  });
});

describe('splitLines()', () => {
  it('skips blank lines, CR and a missing last newline', () => {
    expect(slices('\r\n{"a":1}\r\n\n  \n{"b":2}', splitLines)).toEqual(['{"a":1}', '{"b":2}']);
    expect(slices('{"a":1}\n', splitLines)).toEqual(['{"a":1}']);
    expect(slices('\n\n', splitLines)).toEqual([]);
  });

  it('refuses more lines than the limit', () => {
    expect(slices('1\n2\n', splitLines, 2)).toHaveLength(2);
    expect(codeOf('1\n2\n3', splitLines, 2)).toBe('PAYLOAD_TOO_LARGE');
  });
});

describe('startsArray()', () => {
  it('looks behind white space', () => {
    expect(startsArray(Buffer.from(' \r\n\t['))).toBe(true);
    expect(startsArray(Buffer.from(' {'))).toBe(false);
    expect(startsArray(Buffer.from(''))).toBe(false);
  });
});
