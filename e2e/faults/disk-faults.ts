/** The test's side of disk-faults.c: builds the library, and tells it what to do to the disk of which node. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('disk-faults.c', import.meta.url));
const BUILD_LIMIT_MS = 60_000;

/** Numbers of `mode` in disk-faults.c. */
const MODES = { none: 0, failSync: 1, failWrite: 2, powerOff: 3, readOnly: 4 } as const;

/** Offsets in `struct control`. */
const MODE_AT = 0;
const LIMITED_AT = 4;
const ROOM_AT = 8;
const MET_AT = 16;
const DROPPED_AT = 20;
const CONTROL_BYTES = 24;

/** Builds the library into `dir`; the environment of nodes that are to have it. Needs gcc. */
export function buildDiskFaults(dir: string): NodeJS.ProcessEnv {
  const library = path.join(dir, 'disk-faults.so');
  const options = ['-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  execFileSync('gcc', [...options, '-o', library, SOURCE, '-ldl', '-lpthread'], { timeout: BUILD_LIMIT_MS });
  return { ...process.env, LD_PRELOAD: library };
}

/** The disk of a node that was started with the library at least once. */
export class FaultyDisk {
  readonly #file: string;

  /** `nodeDir` holds `data`. */
  constructor(nodeDir: string) {
    this.#file = path.join(nodeDir, 'faults');
  }

  set(mode: keyof typeof MODES): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(MODES[mode]);
    this.#write(bytes, MODE_AT);
  }

  /** So much is free from now on; undefined: as much as there is. */
  leave(roomBytes: number | undefined): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(roomBytes ?? 0));
    this.#write(bytes, ROOM_AT);
    const limited = Buffer.alloc(4);
    limited.writeUInt32LE(roomBytes === undefined ? 0 : 1);
    this.#write(limited, LIMITED_AT);
  }

  /** Faults that the node has met so far, and unsynced writes that it lost. */
  counts(): { met: number; dropped: number } {
    const bytes = Buffer.alloc(CONTROL_BYTES);
    const fd = openSync(this.#file, 'r');
    try {
      readSync(fd, bytes, 0, CONTROL_BYTES, 0);
    } finally {
      closeSync(fd);
    }
    return { met: bytes.readUInt32LE(MET_AT), dropped: bytes.readUInt32LE(DROPPED_AT) };
  }

  #write(bytes: Buffer, at: number): void {
    const fd = openSync(this.#file, 'r+');
    try {
      writeSync(fd, bytes, 0, bytes.length, at);
    } finally {
      closeSync(fd);
    }
  }
}
