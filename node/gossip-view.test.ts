import { describe, expect, it } from '@jest/globals';
import type { MemberView } from './core/swim/swim-ports.ts';
import { GossipView } from './gossip-view.ts';

function member(id: string, status: MemberView['status'], forMs = 0): MemberView {
  return { id, status, incarnation: 1, details: undefined, forMs };
}

describe('GossipView', () => {
  it('knows nobody and is off until it hears something', () => {
    const view = new GossipView();
    expect(view.state).toBe('off');
    expect(view.statusOf('w1')).toBeUndefined();
    expect(view.members(0)).toEqual([]);
  });

  it('tells which statuses changed, and since when they are so', () => {
    const view = new GossipView();
    const first = { state: 'on', whole: false, members: [member('w1', 'alive'), member('w2', 'alive', 50)] } as const;
    expect(view.hear(first, 1_000).map(({ before, member: { id } }) => [id, before])).toEqual([
      ['w1', undefined],
      ['w2', undefined],
    ]);
    const changes = view.hear({ state: 'on', whole: false, members: [member('w1', 'failed')] }, 2_000);
    expect(changes).toEqual([{ before: 'alive', member: member('w1', 'failed') }]);
    expect(view.hear({ state: 'on', whole: false, members: [member('w1', 'failed', 500)] }, 2_500)).toEqual([]);
    expect(view.statusOf('w1')).toBe('failed');
    expect(view.members(3_000).map(({ id, forMs }) => [id, forMs])).toEqual([
      ['w1', 1_000],
      ['w2', 2_050],
    ]);
  });

  it('forgets whom a whole list leaves out', () => {
    const view = new GossipView();
    view.hear({ state: 'on', whole: false, members: [member('w1', 'left'), member('w2', 'alive')] }, 0);
    expect(view.hear({ state: 'blocked', whole: true, members: [member('w2', 'alive')] }, 10)).toEqual([]);
    expect(view.statusOf('w1')).toBeUndefined();
    expect(view.statusOf('w2')).toBe('alive');
    expect(view.state).toBe('blocked');
  });
});
