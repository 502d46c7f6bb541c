import { describe, expect, it } from '@jest/globals';
import { parseBenchOptions } from './options.ts';

describe('parseBenchOptions()', () => {
  it('runs everything against etcd unless told otherwise', () => {
    expect(parseBenchOptions([])).toMatchObject({
      suites: ['raft', 'ingest', 'workflows', 'rpc', 'snapshot', 'swim'],
      peer: 'etcd',
      batchSize: 100,
    });
    expect(parseBenchOptions(['all'])).toMatchObject({
      suites: ['raft', 'ingest', 'workflows', 'rpc', 'snapshot', 'swim'],
    });
  });

  it('takes suites and options', () => {
    const options = parseBenchOptions(['ingest', '--json', 'a.json', '--quick', '--peers', 'none', '--batch', '7']);
    expect(options).toMatchObject({ suites: ['ingest'], jsonFile: 'a.json', quick: true, peer: 'none', batchSize: 7 });
  });

  it.each([
    [['ingset'], 'no benchmark ingset'],
    [['--peers', 'redis'], 'not redis'],
    [['--batch', '0'], '--batch'],
    [['--callers', '1.5'], '--callers'],
    [['--jsno', 'x'], '--jsno'],
  ])('refuses %j', (args, reason) => {
    expect(() => parseBenchOptions(args)).toThrow(reason);
  });
});
