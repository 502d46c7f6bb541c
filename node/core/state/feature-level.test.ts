import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { COMMAND, RaiseLevel } from './commands.ts';
import { FEATURE_LEVEL, FEATURE_LEVEL_FIRST, FeatureLevelError, levelOf } from './feature-level.ts';
import { stateHead } from './snapshot-stream.ts';
import { MemoryStore } from './memory-store.ts';
import { TestReplica } from './test-replica.ts';

function raise(replica: TestReplica, level: number): void {
  replica.apply(COMMAND.raiseLevel, RaiseLevel, { level });
}

describe('the feature level', () => {
  it('begins with the first, is raised by an entry, never falls, and is kept', () => {
    const replica = new TestReplica(nodeHost);
    expect(replica.machine.featureLevel).toBe(FEATURE_LEVEL_FIRST);
    raise(replica, FEATURE_LEVEL);
    raise(replica, FEATURE_LEVEL_FIRST);
    expect(replica.machine.featureLevel).toBe(FEATURE_LEVEL);
    replica.commit();
    expect(replica.reopened().machine.featureLevel).toBe(FEATURE_LEVEL);
    expect(stateHead(nodeHost, replica.store)?.featureLevel).toBe(FEATURE_LEVEL);
  });

  it('stops a node of an earlier release at the entry that raises it, before it applies anything', () => {
    const early = new TestReplica(nodeHost, new MemoryStore(), FEATURE_LEVEL_FIRST);
    const text = `the cluster has feature level ${String(FEATURE_LEVEL)}, this release supports 1: start this node with`;
    expect(() => raise(early, FEATURE_LEVEL)).toThrow(FeatureLevelError);
    expect(() => raise(early, FEATURE_LEVEL)).toThrow(text);
    expect(early.machine.featureLevel).toBe(FEATURE_LEVEL_FIRST);
    const next = new TestReplica(nodeHost);
    expect(() => raise(next, FEATURE_LEVEL + 1)).toThrow(FeatureLevelError);
  });

  it('keeps a release from opening the state of a later one, at the start and after a snapshot', () => {
    const later = new TestReplica(nodeHost);
    raise(later, FEATURE_LEVEL);
    later.commit();
    expect(() => new TestReplica(nodeHost, later.store, FEATURE_LEVEL_FIRST)).toThrow(FeatureLevelError);
    const early = new TestReplica(nodeHost, new MemoryStore(), FEATURE_LEVEL_FIRST);
    expect(() => early.machine.reload(later.store)).toThrow(FeatureLevelError);
  });

  it('is the first for what was there from the beginning', () => {
    expect(levelOf(COMMAND.messages)).toBe(FEATURE_LEVEL_FIRST);
    expect(levelOf(COMMAND.raiseLevel)).toBe(2);
  });
});
