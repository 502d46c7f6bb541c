import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DistricError } from '../base/errors.ts';
import { findJsonFault } from './json-fault.ts';
import { parseJson } from './json.ts';

function refusal(text: string, depthMax?: number): { field: string; reason: string } {
  try {
    parseJson(text, depthMax === undefined ? undefined : { depthMax });
  } catch (error) {
    if (!(error instanceof DistricError)) throw error;
    expect(error.code).toBe('INVALID_JSON');
    const [field] = error.fields;
    if (field !== undefined) return field;
  }
  throw new Error(`not refused: ${text.slice(0, 100)}`);
}

describe('parseJson', () => {
  it.each([
    '{}',
    '[]',
    'null',
    '-0.5e-3',
    '"a:b\\"c:{["',
    '{"a":{"a":{"a":[{"a":1},{"a":2}]}}}',
    '{"":1,"constructor":2,"toString":3}',
    '9007199254740992',
    '-9007199254740992',
    '1e300',
    '[1e16,12345678901234567e3]',
    ' \t\r\n[ 1 , 2 ] ',
    '"\\ud800 \u0085 \u007f"',
  ])('reads %s as JSON.parse does', (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  it.each([
    ['{"a":1,"a":1}', 'a', 'duplicate key'],
    ['{"a":1,"\\u0061":2}', 'a', 'duplicate key'],
    ['{"x":[0,{"b":{"c":1,"d":2,"c":3}}]}', 'x[1].b.c', 'duplicate key'],
    ['{"":1,"":2}', '$', 'duplicate key'],
    ['{"__proto__":{"admin":true}}', '__proto__', 'not allowed'],
    ['[{"\\u005f_proto__":1}]', '[0].__proto__', 'not allowed'],
    ['{"id":9007199254740993}', 'id', '9007199254740993 is beyond 2^53'],
    ['[-9007199254740993]', '[0]', 'beyond 2^53'],
    ['[1,9007199254740993.5]', '[1]', 'beyond 2^53'],
    [`{"n":${'9'.repeat(5_000)}}`, 'n', 'not finite'],
    ['{"n":1e400}', 'n', '1e400 is not finite'],
    ['{"n":[-1e400]}', 'n[0]', 'not finite'],
  ])('refuses %.60s at %s', (text, field, reason) => {
    const found = refusal(text);
    expect(found.field).toBe(field);
    expect(found.reason).toContain(reason);
  });

  it.each([
    ['', 'line 1, column 1: expected a value, but the text ends'],
    ['{"a":1', 'line 1, column 7: expected "," or "}", but the text ends'],
    ['{"a" 1}', 'line 1, column 6: expected ":", but there is "1"'],
    ['{\n  "a": 1,\n  b: 2\n}', 'line 3, column 3: expected a property name in double quotes, but there is "b"'],
    ['{"a":1,}', 'expected a property name'],
    ['[1,]', 'expected a value, but there is "]"'],
    ['[1 2]', 'expected "," or "]", but there is "2"'],
    ['{} x', 'expected the end of the text, but there is "x"'],
    ['01', 'expected the end of the text'],
    ['-', 'expected a number'],
    ['nul', 'expected a value'],
    ['NaN', 'expected a value'],
    ['\ufeff{}', 'expected a value'],
    ['"a\nb"', 'no raw control characters'],
    ['"\\x"', 'valid escapes'],
    ['"abc', 'closing quote'],
    ["{'a':1}", 'in double quotes'],
  ])('tells where the syntax of %j breaks', (text, reason) => {
    expect(refusal(text).reason).toContain(reason);
  });

  it('refuses a depth of 10,000, closed or not, and names the limit', () => {
    expect(refusal('['.repeat(10_000)).reason).toBe('nested deeper than 64 levels');
    expect(refusal(`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`).reason).toBe('nested deeper than 64 levels');
  });

  it('counts the levels exactly', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(parseJson(nested(64))).toEqual(JSON.parse(nested(64)));
    expect(refusal(nested(65)).reason).toContain('deeper');
    expect(parseJson(nested(3), { depthMax: 3 })).toEqual([[[]]]);
    expect(refusal(nested(4), 3).field).toBe('[0][0][0]');
    expect(parseJson(JSON.stringify(Array.from({ length: 200 }, () => [])))).toHaveLength(200);
  });

  it('reads one string of 8 MiB, and names the fault after it', () => {
    const long = `{"text":"${'\\n:{'.repeat(2_097_152)}"`;
    expect(parseJson(`${long}}`)).toHaveProperty('text');
    expect(refusal(`${long},"text":1}`)).toEqual({ field: 'text', reason: 'duplicate key' });
  });

  it('gives what JSON.parse gives for any value without special keys and large integers', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        // JSON.stringify writes doubles of this size as integers.
        fc.pre(!/[0-9]{16}/.test(text) && !text.includes('__proto__'));
        expect(parseJson(text)).toEqual(JSON.parse(text));
      }),
      { numRuns: 300 },
    );
  });

  it('refuses exactly what the careful reader refuses, on texts close to JSON', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      '"a"',
      '"\\u0061"',
      '"',
      '\\',
      '1',
      '1e999',
      ' ',
      'true',
      '-',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
        const text = pieces.join('');
        const fault = findJsonFault(text, 64);
        if (fault === undefined) expect(parseJson(text)).toEqual(JSON.parse(text));
        else expect(refusal(text)).toEqual(fault);
      }),
      { numRuns: 2_000 },
    );
  });

  it('finds a key repeated anywhere in an object', () => {
    const keys = fc.uniqueArray(fc.string({ maxLength: 6 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(keys, fc.nat(), fc.nat(), (names, from, to) => {
        fc.pre(!names.includes('__proto__'));
        const pairs = names.map((name) => `${JSON.stringify(name)}:{"x":[1]}`);
        expect(parseJson(`{${pairs.join()}}`)).toEqual(JSON.parse(`{${pairs.join()}}`));
        pairs.splice(to % (pairs.length + 1), 0, pairs[from % pairs.length] ?? '');
        expect(refusal(`{${pairs.join()}}`).reason).toBe('duplicate key');
      }),
    );
  });
});
