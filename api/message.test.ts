import { describe, expect, it } from '@jest/globals';
import { MESSAGE_ITEM_BYTES_MAX, parseMessage } from './message.ts';

describe('parseMessage', () => {
  it('reads an object, the empty one too', () => {
    expect(parseMessage('{"event_type":"payment","amount":12}')).toEqual({ event_type: 'payment', amount: 12 });
    expect(parseMessage('{}')).toEqual({});
  });

  it.each([
    ['[1]', 'not a list'],
    ['null', 'not null'],
    ['"text"', 'not a string'],
    ['12', 'not a number'],
  ])('refuses %s and says what it is', (text, reason) => {
    expect(() => parseMessage(text)).toThrow(expect.objectContaining({ code: 'INVALID_MESSAGE' }));
    expect(() => parseMessage(text)).toThrow(reason);
  });

  it('refuses broken JSON as such', () => {
    expect(() => parseMessage('{"a":')).toThrow(expect.objectContaining({ code: 'INVALID_JSON' }));
  });

  it('takes a message of exactly the limit and refuses one more', () => {
    const filled = (length: number): string => `{"a":"${'x'.repeat(length - 8)}"}`;
    expect(parseMessage(filled(MESSAGE_ITEM_BYTES_MAX))).toHaveProperty('a');
    expect(() => parseMessage(filled(MESSAGE_ITEM_BYTES_MAX + 1))).toThrow(
      expect.objectContaining({ code: 'PAYLOAD_TOO_LARGE', status: 413 }),
    );
  });
});
