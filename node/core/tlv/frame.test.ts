import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nodeHost } from '../../io/host.ts';
import {
  encodeFrame,
  encodeFrameHeader,
  FRAME_FLAGS,
  FRAME_HEADER_BYTES,
  FRAME_PAYLOAD_BYTES_MAX,
  FrameError,
  FrameReader,
  type Frame,
} from './frame.ts';

function read(chunks: readonly Uint8Array[], reader = new FrameReader(nodeHost)): Frame[] {
  const frames: Frame[] = [];
  for (const chunk of chunks) reader.push(chunk, (frame) => frames.push(frame));
  return frames;
}

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof FrameError) return error.reason;
    throw error;
  }
  return 'none';
}

const PAYLOAD = Uint8Array.of(1, 2, 3, 4, 5);

function sample(): Uint8Array {
  return encodeFrame(nodeHost, 0x1003, FRAME_FLAGS.urgent, 7, 1_700_000_000_000_000, PAYLOAD);
}

describe('frame', () => {
  it('has the documented layout', () => {
    const frame = sample();
    expect(Buffer.from(frame).toString('hex')).toBe(
      '44495354' +
        '0001' +
        '1003' +
        '0004' +
        '00000005' +
        '0000000000000007' +
        '00060a24181e4000' +
        'fa8f3b9b' +
        '0102030405',
    );
    const header = encodeFrameHeader(nodeHost, 0x1003, FRAME_FLAGS.urgent, 7, 1_700_000_000_000_000, PAYLOAD);
    expect(Buffer.from(header)).toEqual(Buffer.from(frame.subarray(0, FRAME_HEADER_BYTES)));
  });

  it('is read whole, one byte at a time, and with empty payloads', () => {
    const empty = encodeFrame(nodeHost, 1, 0, 0, 0, new Uint8Array(0));
    const stream = Buffer.concat([sample(), empty, sample()]);
    const whole = read([stream]);
    expect(whole.map((frame) => frame.payload.length)).toEqual([5, 0, 5]);
    expect(whole[0]).toEqual({
      typeCode: 0x1003,
      flags: FRAME_FLAGS.urgent,
      messageId: 7,
      timestampUs: 1_700_000_000_000_000,
      payload: Buffer.from(PAYLOAD),
    });
    expect(read(Array.from(stream, (byte) => Uint8Array.of(byte))).map((frame) => [...frame.payload])).toEqual(
      whole.map((frame) => [...frame.payload]),
    );
  });

  it('is read the same however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }),
        fc.array(fc.nat(97), { minLength: 1 }),
        (payloads, cuts) => {
          const stream = Buffer.concat(payloads.map((payload, i) => encodeFrame(nodeHost, i, 0, i, i, payload)));
          const chunks: Uint8Array[] = [];
          for (let at = 0, i = 0; at < stream.length; i++) {
            const end = at + 1 + (cuts[i % cuts.length] ?? 0);
            chunks.push(stream.subarray(at, end));
            at = end;
          }
          const frames = read(chunks);
          expect(frames.map((frame) => [...frame.payload])).toEqual(payloads.map((payload) => [...payload]));
          expect(frames.map((frame) => frame.messageId)).toEqual(payloads.map((_, i) => i));
        },
      ),
    );
  });

  it('takes a payload of the limit and refuses to send more', () => {
    const frame = encodeFrame(nodeHost, 1, 0, 1, 1, new Uint8Array(FRAME_PAYLOAD_BYTES_MAX));
    expect(read([frame.subarray(0, 100), frame.subarray(100)])[0]?.payload.length).toBe(FRAME_PAYLOAD_BYTES_MAX);
    expect(() => encodeFrame(nodeHost, 1, 0, 1, 1, new Uint8Array(FRAME_PAYLOAD_BYTES_MAX + 1))).toThrow(/frame limit/);
  });

  it.each([
    ['bad_magic', 0, 0x45],
    ['bad_version', 5, 2],
    ['bad_flags', 9, FRAME_FLAGS.compressed],
    ['too_large', 10, 1],
    ['bad_crc', 7, 0x04],
    ['bad_crc', 33, 0],
    ['bad_crc', 36, 99],
  ])('names the fault %s (byte %i)', (reason, at, value) => {
    const frame = sample();
    frame[at] = value;
    expect(reasonOf(() => read([frame]))).toBe(reason);
    expect(reasonOf(() => read(Array.from(frame, (byte) => Uint8Array.of(byte))))).toBe(reason);
  });

  it('refuses numbers that are no safe integers', () => {
    const frame = sample();
    frame.fill(0xff, 14, 22);
    frame.fill(0, 30, 34);
    const crc = nodeHost.crc32(PAYLOAD, nodeHost.crc32(frame.subarray(0, FRAME_HEADER_BYTES)));
    Buffer.from(frame.buffer, frame.byteOffset, frame.length).writeUInt32BE(crc, 30);
    expect(reasonOf(() => read([frame]))).toBe('bad_number');
  });

  it('names foreign protocols before a whole header is there', () => {
    expect(reasonOf(() => read([Buffer.from('GET /')]))).toBe('bad_magic');
  });

  it('gives the frames before a fault and stays closed after it', () => {
    const reader = new FrameReader(nodeHost);
    const seen: Frame[] = [];
    const push = (bytes: Uint8Array): void => {
      reader.push(bytes, (frame) => seen.push(frame));
    };
    expect(reasonOf(() => push(Buffer.concat([sample(), Buffer.alloc(40)])))).toBe('bad_magic');
    expect(seen).toHaveLength(1);
    expect(reasonOf(() => push(sample()))).toBe('bad_magic');
    expect(seen).toHaveLength(1);
  });

  it('allocates nothing for a length over its limit, which can be raised between two frames', () => {
    const asked: number[] = [];
    const host = { ...nodeHost, alloc: (byteLength: number) => (asked.push(byteLength), nodeHost.alloc(byteLength)) };
    const large = encodeFrame(nodeHost, 1, 0, 1, 1, new Uint8Array(2_000));
    expect(reasonOf(() => read([large.subarray(0, 40)], new FrameReader(host, 1_000)))).toBe('too_large');
    expect(Math.max(...asked)).toBe(FRAME_HEADER_BYTES);

    const reader = new FrameReader(nodeHost, 10);
    let count = 0;
    reader.push(Buffer.concat([sample(), large]), () => {
      count++;
      reader.payloadBytesMax = 5_000;
    });
    expect(count).toBe(2);
  });

  it('survives random bytes with a typed error only', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(4), (noise, keep) => {
        const reader = new FrameReader(nodeHost);
        const start = sample().subarray(0, keep === 0 ? 0 : FRAME_HEADER_BYTES - keep);
        reasonOf(() => read([start, noise], reader));
      }),
    );
  });
});
