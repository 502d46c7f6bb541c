/** For tests: a folder and an HTTP peer of their own, and the commands run in them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { captureIo } from './captured-io.ts';
import type { CapturedIoOptions } from './captured-io.ts';
import type { ExitCode } from './exit-code.ts';
import { run } from './program.ts';
import { RestPeer } from './rest-peer.ts';

export interface CommandResult {
  exitCode: ExitCode;
  out: string;
  err: string;
  /** Of `out`. */
  lines: string[];
}

export class CommandRoom {
  readonly cwd: string;
  readonly peer: RestPeer;

  private constructor(cwd: string, peer: RestPeer) {
    this.cwd = cwd;
    this.peer = peer;
  }

  static async open(): Promise<CommandRoom> {
    const cwd = await mkdtemp(path.join(tmpdir(), 'distric-cli-'));
    return new CommandRoom(cwd, await new RestPeer().listen());
  }

  async close(): Promise<void> {
    await this.peer.close();
    await rm(this.cwd, { recursive: true });
  }

  /** Runs a command line against the peer, unless `options` name another server or none. */
  async distric(argv: string[], options: CapturedIoOptions = {}): Promise<CommandResult> {
    const io = captureIo({ cwd: this.cwd, env: { DISTRIC_SERVER: this.peer.url }, ...options });
    const exitCode = await run(argv, io);
    return { exitCode, out: io.out(), err: io.err(), lines: io.out().trimEnd().split('\n') };
  }

  write(name: string, text: string): Promise<void> {
    return writeFile(path.join(this.cwd, name), text);
  }
}
