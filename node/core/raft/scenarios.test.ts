/** One test for each file of scenarios/: its first line says what it tells. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { nodeHost } from '../../io/host.ts';
import { Scenario } from './scenario.ts';

const DIR = new URL('scenarios/', import.meta.url);
const files = readdirSync(DIR).filter((name) => name.endsWith('.txt'));

describe('a scenario', () => {
  it.each(files)('%s', (name) => {
    const text = readFileSync(new URL(name, DIR), 'utf8');
    expect(text).toMatch(/^# \w/);
    new Scenario(nodeHost).run(text);
  });

  it('that does not hold names the line', () => {
    const run = (text: string) => () => new Scenario(nodeHost).run(text);
    expect(run('# x\ngroup a\nelect a\nexpect a term 2')).toThrow('line 4, "expect a term 2": assertion failed: term');
    expect(run('group a\nelect a\nexpect a log 1 1')).toThrow('the log of a is 1:-');
    expect(run('group a b\ndeliver a->b')).toThrow('something to deliver');
    expect(run('group a\nexpect a mood good')).toThrow('mood is no fact');
    expect(run('group a\nfly a')).toThrow('no such command');
  });
});
