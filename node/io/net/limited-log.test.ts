import { describe, expect, it } from '@jest/globals';
import { LimitedLog } from './limited-log.ts';

function limited(limits: { linesMax: number; windowMs: number }) {
  const lines: { fields: object; message: string }[] = [];
  const told = Promise.withResolvers<undefined>();
  const note = (fields: object, message: string): void => {
    lines.push({ fields, message });
    if ('suppressed' in fields) told.resolve(undefined);
  };
  return { log: new LimitedLog({ debug: note, info: note, warn: note }, limits), lines, told: told.promise };
}

describe('LimitedLog', () => {
  it('keeps the first lines of a flood, says how many it left out, and then begins anew', async () => {
    const { log, lines, told } = limited({ linesMax: 3, windowMs: 200 });
    for (let i = 0; i < 1_000; i++) log.warn({ i }, 'refused');
    expect(lines.map(({ fields }) => fields)).toEqual([{ i: 0 }, { i: 1 }, { i: 2 }]);
    // The timer of the log does not keep a process alive.
    const alive = setInterval(() => undefined, 1_000);
    await told;
    clearInterval(alive);
    expect(lines.at(-1)).toEqual({ fields: { suppressed: 997, windowMs: 200 }, message: 'refused' });
    log.warn({ i: 'next' }, 'refused');
    expect(lines.at(-1)?.fields).toEqual({ i: 'next' });
  });

  it('counts each message for itself, and leaves debug alone', () => {
    const { log, lines } = limited({ linesMax: 1, windowMs: 3_600_000 });
    for (let i = 0; i < 5; i++) {
      log.warn({}, 'a');
      log.info({}, 'b');
      log.debug({}, 'c');
    }
    expect(lines.map(({ message }) => message).sort()).toEqual(['a', 'b', 'c', 'c', 'c', 'c', 'c']);
  });
});
