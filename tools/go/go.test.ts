import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { fetchedGo, isNewEnough, proxyOf } from './go.ts';
import { unzip } from './zip.ts';

const VERSION = 'v0.0.1-go9.9.9.linux-test';
const PREFIX = `golang.org/toolchain@${VERSION}/`;
const PROGRAM = '#!/bin/sh\necho it runs\n';

interface ZipFile {
  name: string;
  text: string;
  mode: number;
}

/** As the format has it: each file with its header, then the list of them, then where the list is. */
function zip(files: readonly ZipFile[]): Buffer {
  const bodies: Buffer[] = [];
  const list: Buffer[] = [];
  let offset = 0;
  for (const { name, text, mode } of files) {
    const packed = deflateRawSync(text);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt16LE(8, 10);
    entry.writeUInt32LE(packed.length, 20);
    entry.writeUInt32LE(text.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(mode * 2 ** 16, 38);
    entry.writeUInt32LE(offset, 42);
    bodies.push(local, Buffer.from(name), packed);
    list.push(entry, Buffer.from(name));
    offset += local.length + name.length + packed.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...bodies, ...list, end]);
}

const ARCHIVE = zip([
  { name: `${PREFIX}bin/go`, text: PROGRAM, mode: 0o755 },
  { name: `${PREFIX}src/_go.mod`, text: 'module std\n', mode: 0o644 },
]);
const SHA256 = createHash('sha256').update(ARCHIVE).digest('hex');

let dir: string;
let proxy: Server;
let asked: string[];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'distric-go-'));
  asked = [];
  proxy = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end(ARCHIVE);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
});

afterEach(() => {
  proxy.close();
  proxy.closeAllConnections();
  rmSync(dir, { recursive: true });
});

const fetched = (sha256: string): Promise<string> =>
  fetchedGo(
    { version: VERSION, sha256 },
    `http://127.0.0.1:${String((proxy.address() as AddressInfo).port)}`,
    dir,
    () => undefined,
  );

describe('the fetched Go', () => {
  it('runs, has its modules by their names, and is fetched once', async () => {
    const program = await fetched(SHA256);
    expect(execFileSync(program, { encoding: 'utf8' })).toBe('it runs\n');
    expect(existsSync(join(program, '../../src/go.mod'))).toBe(true);
    expect(await fetched(SHA256)).toBe(program);
    expect(asked).toEqual([`/golang.org/toolchain/@v/${VERSION}.zip`]);
  });

  it('is refused with any other hash, and leaves nothing', async () => {
    await expect(fetched('0'.repeat(64))).rejects.toThrow(/wrong hash/);
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('an archive', () => {
  it('writes nowhere but below its folder', () => {
    const outside = zip([{ name: `${PREFIX}../x`, text: 'x', mode: 0o644 }]);
    expect(() => unzip(outside, PREFIX, join(dir, 'in'))).toThrow(/no place/);
    expect(existsSync(join(dir, 'x'))).toBe(false);
  });

  it('that is none is refused', () => {
    expect(() => unzip(Buffer.from('<html>'), PREFIX, dir)).toThrow(/no zip/);
  });
});

describe('which Go', () => {
  it.each([
    ['go1.26.0\n', true],
    ['go1.27rc1', true],
    ['go2.0', true],
    ['go1.25.9', false],
    ['go1.19.8', false],
    ['', false],
  ])('%j will do: %s', (version, will) => {
    expect(isNewEnough(version)).toBe(will);
  });

  it('comes from the proxy that is set', () => {
    expect(proxyOf(undefined)).toMatch(/^https:/);
    expect(proxyOf('direct,http://127.0.0.1:1/|off')).toBe('http://127.0.0.1:1');
    expect(() => proxyOf('off')).toThrow(/GOPROXY is off/);
  });
});
