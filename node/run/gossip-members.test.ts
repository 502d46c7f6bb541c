import { describe, expect, it } from '@jest/globals';
import type { MemberView } from '../core/swim/swim-ports.ts';
import { coordinatorsIn, leaderIn } from './gossip-members.ts';

function member(id: string, status: MemberView['status'], more: Partial<MemberView['details']>): MemberView {
  const details = {
    version: 1,
    role: 'coordinator',
    address: '127.0.0.1:1',
    softwareVersion: '1',
    labels: [],
    ...more,
  };
  return { id, status, incarnation: 1, details, forMs: 0 };
}

describe('leaderIn()', () => {
  it('takes the highest term of those that are there', () => {
    const members = [
      member('c1', 'alive', { raftState: 'leader', raftTerm: 3 }),
      member('c2', 'suspected', { raftState: 'leader', raftTerm: 4 }),
      member('c3', 'failed', { raftState: 'leader', raftTerm: 5 }),
      member('c4', 'alive', { raftState: 'follower', raftTerm: 6 }),
      member('w1', 'alive', { role: 'worker', raftState: 'leader', raftTerm: 9 }),
    ];
    expect(leaderIn(members)).toEqual({ id: 'c2', term: 4 });
    expect(leaderIn([])).toBeUndefined();
  });
});

describe('coordinatorsIn()', () => {
  it('has the peer addresses of coordinators that are there', () => {
    const members = [
      member('c1', 'alive', { peerAddress: '10.0.0.1:7400' }),
      member('c2', 'left', { peerAddress: '10.0.0.2:7400' }),
      member('c3', 'alive', {}),
      member('c5', 'alive', { peerAddress: '10.0.0.5:7400' }),
      member('w1', 'alive', { role: 'worker', peerAddress: '10.0.0.4:7400' }),
    ];
    expect(coordinatorsIn(members, 'c5')).toEqual(['10.0.0.1:7400']);
  });
});
