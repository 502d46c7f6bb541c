import { createCipheriv, createDecipheriv } from 'node:crypto';
import { Buffer } from 'node:buffer';
import type { Cipher } from '../core/tlv/datagram.ts';

const ALGORITHM = 'aes-256-gcm';
const TAG_BYTES = 16;

/** Node's AES-256-GCM behind the port that `core/tlv/datagram.ts` uses. */
export const nodeCipher: Cipher = {
  seal(key, nonce, head, plain) {
    const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(head);
    const body = cipher.update(plain);
    return Buffer.concat([body, cipher.final(), cipher.getAuthTag()]);
  },

  open(key, nonce, head, sealed) {
    const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(head);
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    const plain = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plain;
  },
};
