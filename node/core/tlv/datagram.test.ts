import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nodeCipher } from '../../io/cipher.ts';
import { nodeHost } from '../../io/host.ts';
import { Opener, SEAL_BYTES, Sealer, SENDER_BYTES } from './datagram.ts';

const old = { id: 1, bytes: randomBytes(32) };
const fresh = { id: 2, bytes: randomBytes(32) };

function ring(...keys: (typeof old)[]) {
  return { primary: keys[0]!, byId: new Map(keys.map((key) => [key.id, key])) };
}

function sealer(firstCounter = 0): Sealer {
  return new Sealer(nodeHost, nodeCipher, () => randomBytes(SENDER_BYTES), firstCounter);
}

function opened(result: Uint8Array | string): string {
  return typeof result === 'string' ? result : `opened ${Buffer.from(result).toString()}`;
}

const FRAME = Buffer.from('a frame');

describe('Sealer and Opener', () => {
  it('carry a frame once, hidden', () => {
    const datagram = sealer().seal(ring(old), FRAME);
    const opener = new Opener(nodeCipher);
    expect(datagram.length).toBe(FRAME.length + SEAL_BYTES);
    expect(Buffer.from(datagram).includes(FRAME)).toBe(false);
    expect(opened(opener.open(ring(old), datagram))).toBe('opened a frame');
    expect(opener.open(ring(old), datagram)).toBe('replayed');
  });

  it('lose nothing while keys are changed in the documented order', () => {
    const rings = [ring(old), ring(old, fresh), ring(fresh, old), ring(fresh)];
    for (const [step, sending] of rings.entries()) {
      for (const receiving of rings.slice(Math.max(0, step - 1), step + 2)) {
        expect(opened(new Opener(nodeCipher).open(receiving, sealer().seal(sending, FRAME)))).toBe('opened a frame');
      }
    }
    expect(new Opener(nodeCipher).open(ring(fresh), sealer().seal(ring(old), FRAME))).toBe('unknown_key');
  });

  it('never repeat a nonce: a sender that has counted to the end becomes another', () => {
    const from = sealer(0xffff_fffe);
    const nonces = Array.from({ length: 4 }, () =>
      Buffer.from(from.seal(ring(old), FRAME).subarray(3, 15)).toString('hex'),
    );
    expect(new Set(nonces).size).toBe(4);
    expect(nonces.map((nonce) => nonce.slice(16))).toEqual(['fffffffe', 'ffffffff', '00000000', '00000001']);
    expect(nonces[1]?.slice(0, 16)).not.toBe(nonces[2]?.slice(0, 16));
  });

  it('drop what was changed at any byte, and take the true packet afterwards', () => {
    const opener = new Opener(nodeCipher);
    const from = sealer();
    const reasons = new Set<string>();
    const datagram = from.seal(ring(old), FRAME);
    for (let at = 0; at < datagram.length; at++) {
      const changed = Buffer.from(datagram);
      changed[at] = (changed[at] ?? 0) ^ 1;
      reasons.add(opened(opener.open(ring(old), changed)));
    }
    expect([...reasons].sort()).toEqual(['forged', 'not_sealed', 'unknown_key']);
    expect(opened(opener.open(ring(old), datagram))).toBe('opened a frame');
  });

  it('answer any bytes with a reason', () => {
    const opener = new Opener(nodeCipher);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (bytes, sealedForm) => {
        if (sealedForm) bytes.set([0xd1, 0, 1].slice(0, bytes.length));
        return typeof opener.open(ring(old), bytes) === 'string';
      }),
    );
  });

  it('keep a bounded number of senders, those heard last', () => {
    const opener = new Opener(nodeCipher);
    const first = sealer().seal(ring(old), FRAME);
    opener.open(ring(old), first);
    const last = sealer().seal(ring(old), FRAME);
    for (let i = 0; i < 4_095; i++) opener.open(ring(old), sealer().seal(ring(old), FRAME));
    opener.open(ring(old), last);
    expect(opener.open(ring(old), last)).toBe('replayed');
    expect(opened(opener.open(ring(old), first))).toBe('opened a frame');
  });
});
