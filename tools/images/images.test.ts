import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_DIR } from '../steps.ts';
import { baseOf, IMAGE_KINDS } from './images.ts';

const dockerfileOf = (kind: string): string => readFileSync(join(ROOT_DIR, `Dockerfile.${kind}`), 'utf8');

describe('the images', () => {
  it('start from one public base', () => {
    expect(IMAGE_KINDS.map((kind) => baseOf(dockerfileOf(kind)))).toEqual(
      IMAGE_KINDS.map(() => 'node:24-bookworm-slim'),
    );
  });

  it('run as a number that is not root, and take signals themselves', () => {
    for (const kind of IMAGE_KINDS) {
      const dockerfile = dockerfileOf(kind);
      expect(dockerfile).toMatch(/^USER [1-9]\d+:[1-9]\d+$/m);
      expect(dockerfile).toMatch(/^ENTRYPOINT \["node", /m);
    }
  });

  it('are based on the last stage, and on nothing when there is none', () => {
    expect(baseOf('FROM a:1 AS one\nFROM b:2\nUSER 1:1\n')).toBe('b:2');
    expect(() => baseOf('RUN true\n')).toThrow('no plain FROM line');
  });
});
