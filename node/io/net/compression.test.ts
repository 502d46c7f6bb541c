import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants, createZstdCompress, deflateRawSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { afterEach, describe, expect, it } from '@jest/globals';
import { encodeFrame, FRAME_FLAGS, FRAME_PAYLOAD_BYTES_MAX, FrameError } from '../../core/tlv/frame.ts';
import { nodeHost } from '../host.ts';
import { PACK_BYTES_MIN, Packer, unpack } from './compression.ts';
import type { Compression } from './features.ts';
import { closeAll, frame, hello, node, pair, propose, raw, readAll } from './test-peers.ts';

afterEach(closeAll);

const ALL: readonly Compression[] = ['zstd', 'deflate-raw'];

function reasonOf(compression: Compression, packed: Uint8Array): string {
  try {
    unpack(compression, packed);
  } catch (error) {
    if (error instanceof FrameError) return error.reason;
    throw error;
  }
  return 'none';
}

function squeeze(compression: Compression, bytes: Uint8Array): Uint8Array {
  return compression === 'zstd' ? zstdCompressSync(bytes) : deflateRawSync(bytes);
}

describe('Packer and unpack()', () => {
  it.each(ALL)('give back what went in (%s)', (compression) => {
    const payload = Buffer.from('{"event_type":"payment_received","amount":12}\n'.repeat(2_000));
    const packed = new Packer(compression).pack(payload);
    expect(packed?.length).toBeLessThan(payload.length / 10);
    expect(payload.equals(unpack(compression, packed ?? new Uint8Array()))).toBe(true);
  });

  it.each(ALL)('take the frame limit, and nothing over it (%s)', (compression) => {
    const most = Buffer.alloc(FRAME_PAYLOAD_BYTES_MAX);
    expect(unpack(compression, squeeze(compression, most)).length).toBe(FRAME_PAYLOAD_BYTES_MAX);
    const bomb = squeeze(compression, Buffer.alloc(64 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(100_000);
    expect(reasonOf(compression, bomb)).toBe('bad_compression');
  });

  it.each(ALL)('name what is cut, garbled or not packed at all (%s)', (compression) => {
    const packed = squeeze(compression, Buffer.from('x'.repeat(10_000)));
    expect(reasonOf(compression, packed.subarray(0, packed.length - 3))).toBe('bad_compression');
    expect(reasonOf(compression, Buffer.alloc(100, 0xff))).toBe('bad_compression');
    for (let i = 0; i < 300; i++)
      expect(['bad_compression', 'none']).toContain(reasonOf(compression, randomBytes(200)));
  });

  it('refuse a window larger than any payload, however small the content', async () => {
    const stream = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: 26 } });
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.write('content');
    // Flushed before its end, the size of the content is unknown, so that the frame declares its window.
    await new Promise<void>((resolve) => stream.flush(resolve));
    stream.end();
    await once(stream, 'end');
    expect(zstdDecompressSync(Buffer.concat(parts)).toString()).toBe('content');
    expect(reasonOf('zstd', Buffer.concat(parts))).toBe('bad_compression');
  });

  it('leave small payloads alone, and stop trying while nothing is gained', () => {
    const packer = new Packer('zstd');
    expect(packer.pack(Buffer.alloc(PACK_BYTES_MIN - 1))).toBeUndefined();
    const noise = randomBytes(PACK_BYTES_MIN);
    const text = Buffer.alloc(PACK_BYTES_MIN, 'text');
    expect(packer.pack(noise)).toBeUndefined();
    expect(packer.pack(text)).toBeUndefined();
    expect(packer.pack(text)).toBeDefined();
    for (let i = 0; i < 1_000; i++) packer.pack(noise);
    const tries = Array.from({ length: 64 }, () => packer.pack(text) !== undefined);
    expect(tries.filter(Boolean).length).toBeGreaterThan(0);
    expect(packer.pack(text)).toBeDefined();
  });
});

describe('PeerNet with compression', () => {
  it('packs bulk payloads when both ends want it', async () => {
    const [coordinator, worker] = await pair({ compression: 'on' });
    worker.net.send('c1', propose(1, 1_000_000));
    await coordinator.until(() => coordinator.received.length === 1);
    expect(coordinator.received[0]?.message).toEqual({ kind: 'FORWARD_PROPOSE', body: expect.anything() });
    const { message } = coordinator.received[0]!;
    if (message.kind !== 'FORWARD_PROPOSE') throw new Error('another message came');
    expect(Buffer.alloc(1_000_000, 7).equals(message.body.command)).toBe(true);
    expect(worker.count('saved')).toBeGreaterThan(990_000);
    expect(coordinator.count('received')).toBeLessThan(10_000);
  });

  it('does not when one end does not', async () => {
    const coordinator = node('c1', { compression: 'on' });
    const worker = node('w1');
    worker.net.dial(await coordinator.listen(), 'c1');
    await worker.until(() => worker.isUp(coordinator));
    worker.net.send('c1', propose(1, 100_000));
    await coordinator.until(() => coordinator.received.length === 1);
    expect(worker.count('saved')).toBe(0);
  });

  it.each([
    ['zstd', 'bad_compression'],
    ['nothing', 'bad_flags'],
  ])('closes the connection of a peer that agreed on %s and sends a bomb', async (feature, reason) => {
    const n1 = node('n1', { compression: 'on' });
    const socket = await raw(await n1.listen());
    const greeting = hello('n2', 'bulk');
    if (greeting.kind !== 'HELLO') throw new Error('no HELLO');
    const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
    socket.write(frame({ kind: 'HELLO', body: { ...greeting.body, features: [feature] } }));
    socket.write(encodeFrame(nodeHost, 0x100b, FRAME_FLAGS.compressed, 2, 1, bomb));
    expect((await readAll(socket)).at(-1)).toEqual({ kind: 'GOAWAY', body: { reason } });
    expect(n1.count(`tcp ${reason}`)).toBe(1);
  });
});
