import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nodeHost } from '../../io/host.ts';
import { decodeEntry, encodeEntry, ENTRY_HEADER_BYTES } from './entry.ts';

const head = fc.record({
  term: fc.maxSafeNat(),
  index: fc.maxSafeNat(),
  timeMs: fc.maxSafeNat(),
  wallMs: fc.maxSafeNat(),
  kind: fc.nat(255),
  previousChecksum: fc.nat(0xffff_ffff),
});
const payload = fc.uint8Array({ maxLength: 60 });

describe('an encoded entry', () => {
  it('decodes to what it was', () => {
    fc.assert(
      fc.property(head, payload, (fields, bytes) => {
        const entry = encodeEntry(nodeHost, fields, bytes);
        expect(entry.bytes).toHaveLength(ENTRY_HEADER_BYTES + bytes.length);
        const decoded = decodeEntry(nodeHost, entry.bytes);
        expect(decoded).toEqual(entry);
        expect(decoded).toMatchObject(fields);
        expect(Buffer.from(decoded!.payload)).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('with any one bit flipped is refused', () => {
    fc.assert(
      fc.property(head, payload, fc.nat(), (fields, bytes, position) => {
        const damaged = Buffer.from(encodeEntry(nodeHost, fields, bytes).bytes);
        const bit = position % (damaged.length * 8);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        expect(decodeEntry(nodeHost, damaged)).toBeUndefined();
      }),
    );
  });

  it('cut short or lengthened is refused', () => {
    fc.assert(
      fc.property(head, payload, fc.nat(), (fields, bytes, cut) => {
        const whole = encodeEntry(nodeHost, fields, bytes).bytes;
        expect(decodeEntry(nodeHost, whole.subarray(0, cut % whole.length))).toBeUndefined();
        expect(decodeEntry(nodeHost, Buffer.concat([whole, Buffer.from([1])]))).toBeUndefined();
      }),
    );
  });

  it('covers the checksum of the one before', () => {
    const fields = { term: 1, index: 2, timeMs: 3, wallMs: 4, kind: 5, previousChecksum: 6 };
    const one = encodeEntry(nodeHost, fields, Buffer.from('x'));
    const other = encodeEntry(nodeHost, { ...fields, previousChecksum: 7 }, Buffer.from('x'));
    expect(one.checksum).not.toBe(other.checksum);
  });

  it.each(['term', 'index', 'timeMs', 'wallMs'])('holds only whole numbers: %s', (name) => {
    const fields = { term: 1, index: 2, timeMs: 3, wallMs: 4, kind: 5, previousChecksum: 6 };
    for (const value of [1.5, -1, 2 ** 53, Number.NaN]) {
      expect(() => encodeEntry(nodeHost, { ...fields, [name]: value }, Buffer.alloc(0))).toThrow('whole');
    }
  });
});
