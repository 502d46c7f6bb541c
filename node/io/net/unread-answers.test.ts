import { describe, expect, it } from '@jest/globals';
import { UnreadAnswers } from './unread-answers.ts';

function readers(bytesMax: number) {
  const ended: string[] = [];
  const unread = new UnreadAnswers<{ name: string; unreadBytes: number }>(bytesMax, (one) => {
    ended.push(one.name);
    unread.forget(one);
  });
  const note = (name: string, unreadBytes: number) => {
    const one = { name, unreadBytes };
    unread.note(one);
    return one;
  };
  return { unread, note, ended };
}

describe('answers that nobody reads', () => {
  it('end those that left most unread, and no more of them than it takes', () => {
    const { note, ended } = readers(100);
    note('small', 10);
    note('largest', 50);
    note('large', 40);
    expect(ended).toEqual([]);
    note('last', 5);
    expect(ended).toEqual(['largest']);
    note('again', 60);
    expect(ended).toEqual(['largest', 'again']);
  });

  it('are counted anew before anybody is ended for them', () => {
    const { unread, note, ended } = readers(100);
    const slow = note('slow', 90);
    slow.unreadBytes = 0;
    note('other', 90);
    expect(ended).toEqual([]);
    slow.unreadBytes = 20;
    unread.note(slow);
    expect(ended).toEqual(['other']);
  });

  it('are forgotten with their reader', () => {
    const { unread, note, ended } = readers(100);
    for (let i = 0; i < 10; i++) unread.forget(note('comes and goes', 90));
    expect(ended).toEqual([]);
  });
});
