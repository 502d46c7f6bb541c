import { describe, expect, it } from '@jest/globals';
import { MemberNews } from './member-news.ts';
import { changed, isDiskOf, isJoint, type Membership, settled } from './core/raft/membership.ts';

const THREE: Membership = {
  voters: ['a', 'b', 'c'],
  outgoing: [],
  learners: [],
  about: { a: { dataUuid: 'A' }, b: { address: 'host:1', dataUuid: 'B' }, c: { dataUuid: 'C' } },
};

describe('a member with a new disk', () => {
  it('is out with the old one, and in as a learner with none before the new one is recorded', () => {
    const joint = changed(THREE, { kind: 'renew', id: 'b' }) as Membership;
    expect(isJoint(joint)).toBe(true);
    expect(joint.voters).toEqual(['a', 'c']);
    // Until the change is settled, the id is that of the old disk.
    expect(isDiskOf(joint, 'b', 'B')).toBe(true);
    expect(isDiskOf(joint, 'b', 'B2')).toBe(false);
    const after = settled(joint);
    expect(after.learners).toEqual(['b']);
    expect(after.about?.['b']).toEqual({ address: 'host:1', formerUuid: 'B' });
    expect(isDiskOf(after, 'b', 'B')).toBe(false);
    expect(isDiskOf(after, 'b', 'B2')).toBe(true);
  });

  it('is promoted alone, which makes their number odd again', () => {
    const after = settled(changed(THREE, { kind: 'renew', id: 'b' }) as Membership);
    expect(changed(after, { kind: 'promote', ids: ['b'] })).toMatchObject({ voters: ['a', 'c', 'b'] });
  });

  it('is refused to the only voter', () => {
    const alone = { voters: ['a'], outgoing: [], learners: [] };
    expect(changed(alone, { kind: 'renew', id: 'a' })).toHaveProperty('reason');
  });

  it('begins anew as a learner, too', () => {
    const learner: Membership = { ...THREE, voters: ['a'], learners: ['b'] };
    const after = changed(learner, { kind: 'renew', id: 'b', address: 'host:2' });
    expect(after).toMatchObject({ learners: ['b'], about: { b: { address: 'host:2', formerUuid: 'B' } } });
  });
});

describe('a member that leaves', () => {
  it('leaves nothing behind that is known of it', () => {
    const after = settled(changed(THREE, { kind: 'remove', ids: ['b', 'c'] }) as Membership);
    expect(after.about).toEqual({ a: { dataUuid: 'A' } });
  });
});

describe('what a leader has to record', () => {
  it('is each disk it has heard of, once', () => {
    const news = new MemberNews();
    const bare: Membership = { voters: ['a', 'b'], outgoing: [], learners: [] };
    news.heard('b', 'B');
    const addresses = new Map([['a', { address: 'host:1' }]]);
    expect(news.since(bare, 0, addresses)).toEqual({ a: { address: 'host:1' }, b: { dataUuid: 'B' } });
    expect(news.since(bare, 0, addresses)).toBeUndefined();
  });

  it('is never the disk that an id had before, nor one heard of before it was replaced', () => {
    const news = new MemberNews();
    const after = settled(changed(THREE, { kind: 'renew', id: 'b' }) as Membership);
    expect(news.since(THREE, 3, new Map())).toBeUndefined();
    news.heard('b', 'B3');
    expect(news.since(after, 5, new Map())).toBeUndefined();
    news.heard('b', 'B');
    expect(news.since(after, 5, new Map())).toBeUndefined();
    news.heard('b', 'B2');
    expect(news.since(after, 5, new Map())).toEqual({ b: { address: 'host:1', dataUuid: 'B2' } });
  });
});
