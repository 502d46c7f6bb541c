import { describe, expect, it } from '@jest/globals';
import { membershipOf } from './core/raft/membership.ts';
import { FEATURE_LEVEL, FEATURE_LEVEL_FIRST, FeatureLevelError } from './core/state/feature-level.ts';
import { FeatureLevels } from './feature-levels.ts';
import { nodeHost } from './io/host.ts';
import { TestCluster } from './test-cluster.ts';

const MEMBERS = membershipOf(['a', 'b', 'c']);

function levelsOf(group: TestCluster): number[] {
  return [...group.coordinators.values()].map(({ core }) => core.state.featureLevel);
}

describe('the feature level to raise a cluster to', () => {
  it('is what all members support, learners too, as far as they have been heard', () => {
    const levels = new FeatureLevels('a', 3);
    levels.heard('b', 3);
    expect(levels.next(1, MEMBERS)).toBeUndefined();
    levels.heard('c', 2);
    expect(levels.next(1, MEMBERS)).toBe(2);
    expect(levels.next(2, MEMBERS)).toBeUndefined();
    levels.heard('c', 3);
    expect(levels.next(2, MEMBERS)).toBe(3);
    expect(levels.next(3, MEMBERS)).toBeUndefined();
    expect(levels.next(1, { ...MEMBERS, learners: ['d'] })).toBeUndefined();
  });

  it('is none while one is away, or says nothing: it may come back as an earlier release', () => {
    const levels = new FeatureLevels('a', 2);
    levels.heard('b', 2);
    levels.heard('c', 2);
    levels.lost('c');
    expect(levels.next(1, MEMBERS)).toBeUndefined();
    levels.heard('c');
    expect(levels.next(1, MEMBERS)).toBeUndefined();
  });

  it('keeps learners of an earlier release from becoming voters', () => {
    const levels = new FeatureLevels('a', 2);
    levels.heard('b', 1);
    expect(levels.fault(membershipOf(['a', 'b']), 2)).toContain('the release of "b" is too early');
    expect(levels.fault(membershipOf(['a', 'b']), 1)).toBeUndefined();
  });
});

describe('a cluster', () => {
  it('is raised by itself when all are of this release', () => {
    const group = new TestCluster(nodeHost, ['a', 'b', 'c']);
    group.until(() => levelsOf(group).every((level) => level === FEATURE_LEVEL));
    const status = group.query(group.leader(), { kind: 'clusterStatus' });
    group.until(() => status.outcome !== undefined);
    expect(status.outcome).toMatchObject({
      result: { feature_level: FEATURE_LEVEL, coordinators: [{ feature_level: 2 }, { feature_level: 2 }, {}] },
    });
  });

  it('waits for the last one of an earlier release, then is raised without a restart of the others', () => {
    const levels = new Map(['a', 'b', 'c'].map((id) => [id, FEATURE_LEVEL_FIRST]));
    const group = new TestCluster(nodeHost, ['a', 'b', 'c'], { levels });
    for (const id of ['a', 'b', 'c']) {
      group.leader();
      group.run(2_000);
      expect(new Set(levelsOf(group))).toEqual(new Set([FEATURE_LEVEL_FIRST]));
      levels.delete(id);
      group.crash(id);
    }
    group.until(() => levelsOf(group).every((level) => level === FEATURE_LEVEL));
  });

  it('keeps the details of its workers from then on, and is told those of who is there already', () => {
    const levels = new Map([['c', FEATURE_LEVEL_FIRST]]);
    const group = new TestCluster(nodeHost, ['a', 'b', 'c'], { levels });
    group.addWorker('w1', ['log'], 2, { zone: 'z1' });
    const record = () => group.coordinators.get(group.leader())?.core.state.workers.workers.get('w1');
    group.until(() => record() !== undefined);
    expect(record()).not.toMatchObject({ zone: 'z1' });
    const { session } = record()!;
    levels.clear();
    group.crash('c');
    group.until(() => record()?.zone === 'z1');
    expect(record()).toMatchObject({ session, versions: ['1'] });
  });

  it('is not followed by a coordinator that comes back with an earlier release', () => {
    const levels = new Map<string, number>();
    const group = new TestCluster(nodeHost, ['a', 'b', 'c'], { levels });
    group.until(() => levelsOf(group).every((level) => level === FEATURE_LEVEL));
    const [follower = ''] = group.followers();
    group.run(1_000);
    levels.set(follower, FEATURE_LEVEL_FIRST);
    // What it applied is committed, or comes from its log again.
    const comeBack = (): void => {
      group.crash(follower);
      group.run(2_000);
    };
    expect(comeBack).toThrow(FeatureLevelError);
  });
});
