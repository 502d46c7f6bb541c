import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { parseGossipKeys } from './gossip-keys.ts';

const one = randomBytes(32);
const two = Buffer.alloc(32, 0xff);

describe('parseGossipKeys()', () => {
  it('takes YAML and JSON, with the first key as the one that seals', () => {
    const list = [
      { id: 7, key: two.toString('base64') },
      { id: 3, key: one.toString('base64') },
    ];
    const yaml = `# rotated\n- id: 7\n  key: ${two.toString('base64')}\n- { id: 3, key: "${one.toString('base64')}" }\n`;
    for (const text of [yaml, JSON.stringify(list)]) {
      const { primary, byId } = parseGossipKeys(text);
      expect(primary.id).toBe(7);
      expect(Buffer.from(byId.get(3)!.bytes).equals(one)).toBe(true);
      expect(Buffer.from(byId.get(7)!.bytes).equals(two)).toBe(true);
    }
  });

  it('reads base64 as Node does', () => {
    for (let i = 0; i < 200; i++) {
      const bytes = randomBytes(32);
      expect(Buffer.from(parseGossipKeys(`- {id: 1, key: ${bytes.toString('base64')}}`).primary.bytes)).toEqual(bytes);
    }
  });

  it.each([
    ['a list', ''],
    ['a list', '{}'],
    ['a list', '[]'],
    ['a list', JSON.stringify(Array.from({ length: 9 }, (_, id) => ({ id: id + 1, key: one.toString('base64') })))],
    ['neither YAML nor JSON', '- [secret'],
    ['[0].id', `- {id: 0, key: ${one.toString('base64')}}`],
    ['[0].id', `- {id: 65536, key: ${one.toString('base64')}}`],
    ['[0].id', `- {key: ${one.toString('base64')}}`],
    ['[0].key', '- {id: 1}'],
    ['[0].key', '- just a text'],
    ['[0].key', `- {id: 1, key: secret${randomBytes(31).toString('base64')}}`],
    ['[1].id another key', `[{id: 1, key: ${one.toString('base64')}}, {id: 1, key: ${two.toString('base64')}}]`],
  ])('names %s and never the content', (place, text) => {
    expect(() => parseGossipKeys(text)).toThrow(place);
    expect(() => parseGossipKeys(text)).not.toThrow(/secret/);
  });
});
