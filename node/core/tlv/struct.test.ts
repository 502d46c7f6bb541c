import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Host } from '../../../base/host.ts';
import { nodeHost } from '../../io/host.ts';
import {
  bool,
  bytes,
  decode,
  encode,
  f64,
  i64,
  list,
  MalformedError,
  nested,
  optional,
  struct,
  text,
  u16,
  u32,
  u64,
  u8,
  type Infer,
  type Struct,
} from './struct.ts';

const Leaf = struct('Leaf', { name: text(1), data: bytes(2), hint: optional(text(3)) });
const All = struct('All', {
  a: u8(1),
  b: u16(2),
  c: u32(3),
  d: u64(4),
  e: i64(5),
  f: f64(6),
  g: bool(7),
  h: text(8),
  i: bytes(9),
  j: list(10, 'u64'),
  k: list(11, 'text'),
  l: list(12, 'bytes'),
  m: list(13, Leaf),
  n: nested(14, Leaf),
  o: optional(u32(300)),
  p: optional(list(301, 'text')),
  q: optional(nested(302, Leaf)),
});
type All = Infer<typeof All>;

// Lone surrogates have no UTF-8 form, so they are no text.
const anyText = fc.string({ unit: 'grapheme', maxLength: 80 }).map((value) => value.toWellFormed());
const anyBytes = fc.uint8Array({ maxLength: 60 }).map((value) => Buffer.from(value));
const anyU64 = fc.maxSafeNat();
const anyLeaf = fc.record(
  { name: anyText, data: anyBytes, hint: anyText },
  { requiredKeys: ['name', 'data'], noNullPrototype: true },
);
const anyAll: fc.Arbitrary<All> = fc.record(
  {
    a: fc.nat(0xff),
    b: fc.nat(0xffff),
    c: fc.nat(0xffff_ffff),
    d: anyU64,
    e: fc.maxSafeInteger(),
    f: fc.double(),
    g: fc.boolean(),
    h: anyText,
    i: anyBytes,
    j: fc.array(anyU64, { maxLength: 5 }),
    k: fc.array(anyText, { maxLength: 5 }),
    l: fc.array(anyBytes, { maxLength: 5 }),
    m: fc.array(anyLeaf, { maxLength: 5 }),
    n: anyLeaf,
    o: fc.nat(0xffff_ffff),
    p: fc.array(anyText, { maxLength: 3 }),
    q: anyLeaf,
  },
  { requiredKeys: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n'], noNullPrototype: true },
);

/** Decodes, and lets nothing but a value or a MalformedError through. */
function attempt<T>(type: Struct<T>, input: Uint8Array, host: Host = nodeHost): T | MalformedError {
  try {
    return decode(host, type, input);
  } catch (error) {
    if (error instanceof MalformedError) return error;
    throw error;
  }
}

function raw(type: number, tag: number, value: Uint8Array, length = value.length): Buffer {
  const header = Buffer.alloc(7);
  header.writeUInt8(type, 0);
  header.writeUInt16BE(tag, 1);
  header.writeUInt32BE(length, 3);
  return Buffer.concat([header, value]);
}

describe('struct', () => {
  it('has the documented wire form', () => {
    const Vote = struct('Vote', { term: u64(1), id: text(2), log: list(3, 'u64'), ok: bool(4) });
    expect(Buffer.from(encode(nodeHost, Vote, { term: 5, id: 'né', log: [1], ok: true })).toString('hex')).toBe(
      '04000100000008' +
        '0000000000000005' +
        '10000200000003' +
        '6ec3a9' +
        '2000030000000f' +
        '04000000000008' +
        '0000000000000001' +
        '07000400000001' +
        '01',
    );
  });

  it('round-trips every value', () => {
    fc.assert(
      fc.property(anyAll, (value) => {
        expect(decode(nodeHost, All, encode(nodeHost, All, value))).toStrictEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  it('keeps the edges of every number, long text and lone surrogates', () => {
    const Numbers = struct('Numbers', { a: u8(1), b: u16(2), c: u32(3), d: u64(4), e: i64(5), f: f64(6), g: i64(7) });
    for (const value of [
      { a: 0, b: 0, c: 0, d: 0, e: 0, f: -0, g: -1 },
      { a: 255, b: 65_535, c: 4_294_967_295, d: 2 ** 53 - 1, e: -(2 ** 53 - 1), f: Number.NaN, g: -(2 ** 32) },
      { a: 1, b: 256, c: 2 ** 31, d: 2 ** 32, e: 2 ** 53 - 1, f: Number.NEGATIVE_INFINITY, g: -(2 ** 32) - 1 },
    ]) {
      expect(decode(nodeHost, Numbers, encode(nodeHost, Numbers, value))).toStrictEqual(value);
    }
    const Texts = struct('Texts', { items: list(1, 'text') });
    const items = ['x'.repeat(47) + 'é', 'x'.repeat(5_000), '€'.repeat(200), ''];
    expect(decode(nodeHost, Texts, encode(nodeHost, Texts, { items })).items).toEqual(items);
    expect(decode(nodeHost, Texts, encode(nodeHost, Texts, { items: ['a\ud800'] })).items).toEqual(['a\ufffd']);
  });

  it('gives bytes as windows on the input', () => {
    const input = encode(nodeHost, Leaf, { name: 'x', data: Uint8Array.of(1, 2) });
    const { data } = decode(nodeHost, Leaf, input);
    expect(data.buffer).toBe(input.buffer);
  });

  it('refuses an input cut at any byte', () => {
    const value = fc.sample(anyAll, { numRuns: 1, seed: 3 })[0];
    if (value === undefined) throw new Error('no sample');
    delete value.o;
    delete value.p;
    delete value.q;
    const input = encode(nodeHost, All, value);
    for (let end = 0; end < input.length; end++) {
      expect(attempt(All, input.subarray(0, end))).toBeInstanceOf(MalformedError);
    }
  });

  it('skips unknown tags and unknown types, and takes fields in any order', () => {
    const Old = struct('Old', { a: u8(1), b: optional(text(2)), c: text(3) });
    const input = Buffer.concat([
      raw(0x10, 3, Buffer.from('c')),
      raw(0x10, 99, Buffer.from('a later field')),
      raw(0x77, 98, Buffer.from('a later type')),
      raw(0x77, 2, Buffer.from('a known tag of a later type')),
      raw(0x01, 1, Buffer.of(9)),
    ]);
    expect(decode(nodeHost, Old, input)).toStrictEqual({ c: 'c', a: 9 });
  });

  it.each([
    ['a missing field', raw(0x10, 1, Buffer.from('x')), /Leaf.data .*is missing/],
    ['a wrong type', raw(0x11, 1, Buffer.from('x')), /Leaf.name .*type 17/],
    ['a field twice', Buffer.concat([raw(0x10, 1, Buffer.of()), raw(0x10, 1, Buffer.of())]), /Leaf.name .*twice/],
    ['a lying length', raw(0x10, 1, Buffer.from('x'), 0xffff_ffff), /claims 4294967295 bytes/],
    ['a cut header', Buffer.of(0x10, 0), /cut short/],
  ])('refuses %s and names the place', (_, input, message) => {
    const fault = attempt(Leaf, input);
    expect(fault).toBeInstanceOf(MalformedError);
    expect(fault).toHaveProperty('message', expect.stringMatching(message));
  });

  it.each([
    ['u64 over 2^53', struct('One', { v: u64(1) }), raw(0x04, 1, Buffer.from('0020000000000000', 'hex'))],
    ['i64 under -2^53', struct('One', { v: i64(1) }), raw(0x05, 1, Buffer.from('8000000000000000', 'hex'))],
    ['u64 of 4 bytes', struct('One', { v: u64(1) }), raw(0x04, 1, Buffer.alloc(4))],
    ['bool 2', struct('One', { v: bool(1) }), raw(0x07, 1, Buffer.of(2))],
    ['list of short u64', struct('One', { v: list(1, 'u64') }), raw(0x20, 1, raw(0x04, 0, Buffer.alloc(7)))],
    ['list of another type', struct('One', { v: list(1, 'u64') }), raw(0x20, 1, raw(0x10, 0, Buffer.alloc(8)))],
    ['list with a lying element', struct('One', { v: list(1, 'text') }), raw(0x20, 1, raw(0x10, 0, Buffer.of(), 5))],
    ['list with a cut element', struct('One', { v: list(1, 'text') }), raw(0x20, 1, Buffer.alloc(3))],
    ['bad nested struct', struct('One', { v: nested(1, Leaf) }), raw(0x21, 1, Buffer.alloc(0))],
  ])('refuses %s', (_, type: Struct<unknown>, input) => {
    expect(attempt(type, input)).toBeInstanceOf(MalformedError);
  });

  it('answers mutated and random bytes with a value or MalformedError, and allocates nothing for them', () => {
    const host: Host = {
      ...nodeHost,
      alloc: () => {
        throw new Error('decoding needs no buffer');
      },
    };
    fc.assert(
      fc.property(anyAll, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), (value, edits) => {
        const input = encode(nodeHost, All, value);
        for (const [at, byte] of edits) input[at % input.length] = byte;
        attempt(All, input, host);
      }),
      { numRuns: 500 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (input) => void attempt(All, input, host)));
  });

  it('reads only declared depth, whatever the input nests', () => {
    let input: Buffer = raw(0x21, 1, Buffer.alloc(0));
    for (let depth = 0; depth < 2_000; depth++) input = raw(0x21, 1, input);
    expect(attempt(struct('Outer', { inner: nested(1, struct('Inner', {})) }), input)).toStrictEqual({ inner: {} });
    const deepen = (): unknown => {
      let type: Struct<unknown> = Leaf;
      for (let depth = 0; depth < 20; depth++) type = struct('Deeper', { inner: nested(1, type) });
      return type;
    };
    expect(deepen).toThrow(/nesting is at most 16/);
  });

  it('refuses to encode values that break their type, and declarations that cannot work', () => {
    const One = struct('One', { n: u8(1), t: optional(text(2)), l: optional(list(3, 'bytes')), b: optional(bool(4)) });
    const wrongly = (value: unknown) => () => encode(nodeHost, One, value as Infer<typeof One>);
    for (const value of [
      null,
      {},
      { n: 256 },
      { n: -1 },
      { n: 1.5 },
      { n: '1' },
      { n: 1, t: 5 },
      { n: 1, l: 'x' },
      { n: 1, l: ['x'] },
      { n: 1, b: 1 },
    ]) {
      expect(wrongly(value)).toThrow(/assertion failed/);
    }
    expect(() => encode(nodeHost, struct('S', { v: u16(1) }), { v: 65_536 })).toThrow(/assertion failed/);
    expect(() => encode(nodeHost, struct('S', { v: u32(1) }), { v: 2 ** 32 })).toThrow(/assertion failed/);
    expect(() => encode(nodeHost, struct('S', { v: u64(1) }), { v: 2 ** 53 })).toThrow(/assertion failed/);
    expect(() => struct('S', { a: u8(1), b: u8(1) })).toThrow(/unique/);
    expect(() => u8(0)).toThrow(/tag 0/);
  });
});
