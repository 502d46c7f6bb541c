import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Logger } from '../../plugins/sdk.ts';
import type { Death } from './blame.ts';
import { LineSplitter } from './line-splitter.ts';
import { LogBudget } from './log-budget.ts';
import { LOG_LINE_CHARS_MAX, REPORT_FD } from './plugin-protocol.ts';
import type { BlockedReport, FromChild, ToChild } from './plugin-protocol.ts';

const OWN_ENDING = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
/** Of the process's memory limit, the part that V8's old space may take; the rest is for code, buffers and the young space. */
const HEAP_PART = 0.75;

export interface ProcessEvents {
  message(process: PluginProcess, message: FromChild): void;
  /** Called once, when nothing more can come from it. */
  exit(process: PluginProcess, death: Death): void;
}

/** One child process as the pool sees it: what it runs, how it is, and how to talk to it. */
export class PluginProcess {
  readonly #child: ChildProcess;
  readonly #memoryMb: number;
  readonly #log: Logger;
  readonly #budget = new LogBudget();
  /** Why we killed it, when we did. */
  #death: Death | undefined;
  #exited = false;
  /** After this its id may belong to somebody else. */
  #reaped = false;

  /** 'retiring': ends when its last attempt has ended. 'stopping': told to end. */
  state: 'starting' | 'ready' | 'retiring' | 'stopping' = 'starting';
  /** Ids of the attempts it was sent and has not answered. */
  readonly running = new Set<number>();
  readonly startedAtMs = performance.now();
  /** The plugin file that it is loading, or loaded last. */
  loadingFile: string | undefined;
  /** See `Death`: what the watching thread told since the main thread was last heard. */
  blockedBy: number | null | undefined;
  residentMb = 0;

  /** One attempt of a suspect type at a time. */
  readonly quarantine: boolean;

  constructor(quarantine: boolean, memoryMb: number, log: Logger, events: ProcessEvents) {
    this.quarantine = quarantine;
    this.#memoryMb = memoryMb;
    this.#log = log;
    // The child is told its parent's id: it may start so late that the parent is gone and its parent another.
    this.#child = fork(new URL(`./plugin-child.${OWN_ENDING}`, import.meta.url), [String(process.pid)], {
      execArgv: [
        `--max-old-space-size=${Math.floor(memoryMb * HEAP_PART)}`,
        // Plugin directories need no package.json.
        '--disable-warning=MODULE_TYPELESS_PACKAGE_JSON',
      ],
      env: childEnvironment(),
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
      // A process group of its own, so that what a plugin starts ends with it.
      detached: true,
    });
    this.#child.on('message', (message) => {
      this.blockedBy = undefined;
      events.message(this, message as unknown as FromChild);
    });
    this.#child.once('error', (error) => this.#end(events, { cause: 'exit', how: error.message }));
    this.#child.once('exit', (code, signal) => {
      this.#killGroup();
      this.#reaped = true;
      const end = () =>
        this.#end(events, { cause: 'exit', how: code === null ? `signal ${String(signal)}` : `code ${code}` });
      // Answers that it sent before it died are still in the channel; its end comes after them.
      if (this.#child.connected) this.#child.once('disconnect', end);
      else end();
    });
    this.#copyLines('stdout');
    this.#copyLines('stderr');
    this.#readReports();
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  send(message: ToChild): void {
    // A write to a process that has just died fails; its exit event tells the pool.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  /** True from the kill on: what it is sent would be lost. */
  get doomed(): boolean {
    return this.#death !== undefined;
  }

  kill(death: Death): void {
    this.#death ??= death;
    this.#killGroup();
  }

  /** Reads the resident memory; returns false when it is over the limit. Where there is no /proc, V8's own limit is the only one. */
  withinMemory(): boolean {
    const residentMb = readResidentMb(this.pid);
    if (residentMb !== undefined) this.residentMb = residentMb;
    return this.residentMb <= this.#memoryMb;
  }

  #end(events: ProcessEvents, death: Death): void {
    if (this.#exited) return;
    this.#exited = true;
    events.exit(this, this.#death ?? death);
  }

  #killGroup(): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#reaped) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // Nobody of the group is left.
    }
  }

  #copyLines(name: 'stdout' | 'stderr'): void {
    const stream = this.#child[name];
    const splitter = new LineSplitter(LOG_LINE_CHARS_MAX, (line) => {
      const room = this.#budget.take(performance.now());
      if (room === false) return;
      const dropped = room.dropped === 0 ? {} : { dropped_lines: room.dropped };
      this.#log[name === 'stdout' ? 'info' : 'warn'](line, { plugin_pid: this.pid, stream: name, ...dropped });
    });
    stream?.on('data', (bytes: Buffer) => splitter.push(bytes));
    stream?.on('end', () => splitter.end());
  }

  #readReports(): void {
    const reports = this.#child.stdio[REPORT_FD] as Readable;
    const splitter = new LineSplitter(LOG_LINE_CHARS_MAX, (line) => {
      this.blockedBy = (JSON.parse(line) as BlockedReport).blockedBy;
    });
    reports.on('data', (bytes: Buffer) => splitter.push(bytes));
  }
}

/** The node's own settings, which may hold join tokens and keys, are none of a plugin's business. */
function childEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('DISTRIC_')));
}

/** `VmRSS` and not `statm`: it does not depend on the page size, which differs between machines. */
function readResidentMb(pid: number): number | undefined {
  try {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
    return match?.[1] === undefined ? undefined : Math.round(Number(match[1]) / 1024);
  } catch {
    return undefined;
  }
}
