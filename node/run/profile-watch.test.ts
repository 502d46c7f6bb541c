import { afterEach, describe, expect, it } from '@jest/globals';
import type { LoopLog } from '../ports.ts';
import { ProfileWatch } from './profile-watch.ts';

const logged: { level: string; fields: unknown }[] = [];
const into = (level: string) => (fields: unknown) => void logged.push({ level, fields });
const log: LoopLog = { debug: into('debug'), info: into('info'), warn: into('warn'), error: into('error') };
const delay = { sampleCount: 6_000, delaySeconds: 0, seconds: (percentile: number) => asked(percentile) };
let watch: ProfileWatch;

function asked(percentile: number): number {
  expect(percentile).toBe(99.9);
  return delay.delaySeconds;
}

function look(seconds: number, samples = 6_000): string[] {
  Object.assign(delay, { delaySeconds: seconds, sampleCount: samples });
  watch.look();
  return logged.splice(0).map(({ level }) => level);
}

afterEach(() => watch.close());

describe('the profile watch', () => {
  it('warns when timers are later than a tenth of the election time-out, and says when they are no longer', () => {
    watch = new ProfileWatch('fast', 150, delay, log);
    expect(look(0.014)).toEqual([]);
    expect(look(0.016)).toEqual(['warn']);
    expect(look(0.9)).toEqual([]);
    expect(look(0.01)).toEqual(['info']);
    expect(look(0.02)).toEqual(['warn']);
  });

  it('says what it measured', () => {
    watch = new ProfileWatch('default', 1_000, delay, log);
    expect(look(0.099)).toEqual([]);
    Object.assign(delay, { delaySeconds: 0.25 });
    watch.look();
    const [{ fields } = {}] = logged.splice(0);
    expect(fields).toEqual({ component: 'raft', profile: 'default', delay_ms: 250, delay_ms_max: 100 });
  });

  it('judges by no handful of samples', () => {
    watch = new ProfileWatch('fast', 150, delay, log);
    expect(look(5, 1_999)).toEqual([]);
    expect(look(5, 2_000)).toEqual(['warn']);
  });
});
