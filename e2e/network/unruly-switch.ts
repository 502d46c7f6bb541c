/** Runs unruly-switch.py in place of the lab's bridge: a network that loses, delays, reorders and duplicates frames. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const SWITCH_PROGRAM = fileURLToPath(new URL('unruly-switch.py', import.meta.url));

/** Shares of all frames, from 0 to 1; times for each frame. */
export interface Unruliness {
  seed: number;
  loss: number;
  duplicate: number;
  reorder: number;
  delay_ms: number;
  jitter_ms: number;
}

/** Frames that it was given, and what became of them. `overflow`: lost because too many were under way. */
export interface SwitchRecord {
  frames: number;
  lost: number;
  duplicated: number;
  reordered: number;
  overflow: number;
}

export class UnrulySwitch {
  readonly #process: ChildProcess;
  readonly #lines: Interface;

  private constructor(process: ChildProcess, lines: Interface) {
    this.#process = process;
    this.#lines = lines;
  }

  /** `enter` is the command line that runs a program where `ports` are. Resolves once frames pass. */
  static async start(enter: readonly string[], ports: readonly string[], how: Unruliness): Promise<UnrulySwitch> {
    const [file, ...args] = ['env', ...enter, 'python3', SWITCH_PROGRAM, 'switch', JSON.stringify({ ports, ...how })];
    // It ends when its input does, so it does not outlive this process, however that ends.
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const started = new UnrulySwitch(child, createInterface(child.stdout));
    await started.#line();
    return started;
  }

  /** What it did; frames that are still held are lost. */
  async stop(): Promise<SwitchRecord> {
    const line = this.#line();
    const gone = once(this.#process, 'exit');
    this.#process.stdin?.end();
    const record = JSON.parse(await line) as SwitchRecord;
    await gone;
    return record;
  }

  async #line(): Promise<string> {
    const ended = once(this.#process, 'exit').then(() => {
      throw new Error('the switch ended by itself');
    });
    ended.catch(() => undefined);
    const [line] = (await Promise.race([once(this.#lines, 'line'), ended])) as [string];
    return line;
  }
}
