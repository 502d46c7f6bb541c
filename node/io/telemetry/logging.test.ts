import { describe, expect, it } from '@jest/globals';
import { Logging, type LoggingOptions } from './logging.ts';

function recording(change: Partial<LoggingOptions> = {}): { logging: Logging; lines: string[] } {
  const lines: string[] = [];
  const options: LoggingOptions = { level: 'info', format: 'json', nodeId: 'c1', ...change };
  return { logging: new Logging(options, { write: (line) => void lines.push(line) }), lines };
}

function parsed(lines: readonly string[]): Record<string, unknown> {
  expect(lines).toHaveLength(1);
  expect(lines[0]?.endsWith('\n')).toBe(true);
  return JSON.parse(lines[0] ?? '') as Record<string, unknown>;
}

describe('Logging', () => {
  it('writes one JSON object a line: ts in ms, level as a word, node, component, msg and fields', () => {
    const { logging, lines } = recording();
    const before = Date.now();
    logging.component('raft').warn({ term: 3 }, 'lost the leader');
    const { ts, ...rest } = parsed(lines);
    expect(rest).toEqual({ level: 'warn', node: 'c1', component: 'raft', msg: 'lost the leader', term: 3 });
    expect(ts).toBeGreaterThanOrEqual(before);
    expect(ts).toBeLessThanOrEqual(Date.now());
  });

  it('keeps below its level silent', () => {
    const { logging, lines } = recording({ level: 'warn' });
    logging.component('net').info('nothing to see');
    expect(lines).toEqual([]);
  });

  it('hides secrets wherever they are, and leaves fencing tokens', () => {
    const { logging, lines } = recording();
    const log = logging.component('http').child({ joinToken: 'sesame' });
    log.info(
      {
        authorization: 'Bearer sesame',
        token: 42,
        request: { headers: [{ Authorization: 'sesame', 'x-api-key': 'sesame', accept: 'text' }] },
        config: { cluster: { apiKey: 'sesame', password: 'sesame', name: 'd' } },
      },
      'request',
    );
    expect(lines.join('')).not.toContain('sesame');
    expect(parsed(lines)).toMatchObject({
      joinToken: '[redacted]',
      token: 42,
      request: { headers: [{ accept: 'text' }] },
      config: { cluster: { name: 'd', password: '[redacted]' } },
    });
  });

  it('writes errors with message and stack, and survives values that contain themselves', () => {
    const { logging, lines } = recording();
    const loop: Record<string, unknown> = { name: 'loop' };
    loop['self'] = loop;
    logging.component('main').error({ err: new Error('disk gone'), loop }, 'stopping');
    const { err, loop: written } = parsed(lines);
    expect(err).toMatchObject({ type: 'Error', message: 'disk gone', stack: expect.stringContaining('logging.test') });
    expect(JSON.stringify(written)).toContain('[too deep]');
  });

  it('writes plain lines for people', () => {
    const { logging, lines } = recording({ format: 'pretty' });
    logging.component('raft').info({ term: 3, peer: 'c2' }, 'became leader');
    logging.component('raft').info('idle');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}c1 raft {6}became leader term=3 peer=c2\n$/);
    expect(lines[1]).toMatch(/ idle\n$/);
  });
});
