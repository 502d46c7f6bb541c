import { describe, expect, it } from '@jest/globals';
import { parseFieldPath } from './field-path.ts';

describe('parseFieldPath', () => {
  it('reads names, indexes and every', () => {
    expect(parseFieldPath('a-b.items[0][*].c d')).toEqual({
      path: {
        origin: 'message',
        steps: [
          { kind: 'name', name: 'a-b' },
          { kind: 'name', name: 'items' },
          { kind: 'index', index: 0 },
          { kind: 'every' },
          { kind: 'name', name: 'c d' },
        ],
      },
    });
  });

  it('reads the envelope, header names in lower case and with their dots', () => {
    expect(parseFieldPath('$source')).toEqual({ path: { origin: 'source' } });
    expect(parseFieldPath('$headers.X-Request.Id')).toEqual({ path: { origin: 'header', name: 'x-request.id' } });
  });

  it.each(['', '.', 'a.', '.a', 'a..b', '[0]', 'a[', 'a[]', 'a[-1]', 'a[x]', 'a[0]b', 'a]', 'a[1000001]'])(
    'refuses %j',
    (text) => {
      expect(parseFieldPath(text)).toHaveProperty('reason');
    },
  );

  it.each(['$', '$sources', '$headers', '$headers.', '$schema.x'])('refuses %j: "$" is for the envelope', (text) => {
    expect(parseFieldPath(text)).toEqual({ reason: 'only $source and $headers.NAME start with "$"' });
  });

  it('refuses more than 32 steps', () => {
    expect(parseFieldPath(Array.from({ length: 32 }, () => 'a').join('.'))).toHaveProperty('path');
    expect(parseFieldPath(`${Array.from({ length: 32 }, () => 'a').join('.')}[0]`)).toHaveProperty('reason');
  });
});
