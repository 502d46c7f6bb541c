import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { LocalCluster } from '../local-cluster.ts';
import { fileSize, lastLines, readPiece } from '../node-process.ts';
import { numberIn } from '../session.ts';
import type { OpenSession, Session } from '../session.ts';
import { singleLine } from '../terminal.ts';
import type { Paint, Tone } from '../terminal.ts';

const LINES = 100;
const LINES_MAX = 100_000;
const FOLLOW_POLL_MS = 200;
const LINE_CHARS_MAX = 1_000;
const PIECE_BYTES_MAX = 1024 * 1024;

const HELP = `
Only for a cluster on this machine. With -o json the lines come as the nodes wrote them.

Examples:
  $ distric logs
  $ distric logs coordinator-1 -f
  $ distric logs worker-2 -n 1000 -o json`;

export function addLogs(parent: Command, open: OpenSession): void {
  parent
    .command('logs [node]')
    .description('what the nodes of the local cluster logged')
    .option('-f, --follow', 'go on as the nodes write, until Ctrl-C')
    .option('-n, --lines <count>', 'last lines of each node', numberIn(0, LINES_MAX, true), LINES)
    .addHelpText('after', HELP)
    .action(async (node: string | undefined, options: { follow?: boolean; lines: number }, command: Command) => {
      const session = open(command);
      const cluster = await LocalCluster.load(session.requireDataDir());
      const ids = node === undefined ? cluster.nodes.map(({ id }) => id) : [cluster.node(node).id];
      const logs = ids.map((id) => new NodeLog(session, id, cluster.logFile(id)));
      for (const log of logs) await log.printLast(options.lines);
      if (options.follow === true) await follow(logs, session.io.signal);
    });
}

async function follow(logs: readonly NodeLog[], signal: AbortSignal | undefined): Promise<void> {
  while (signal?.aborted !== true) {
    for (const log of logs) await log.printNew();
    await delay(FOLLOW_POLL_MS, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  }
}

class NodeLog {
  readonly #session: Session;
  readonly #id: string;
  readonly #file: string;
  #offset = 0;
  #rest = '';

  constructor(session: Session, id: string, file: string) {
    this.#session = session;
    this.#id = id;
    this.#file = file;
  }

  async printLast(count: number): Promise<void> {
    this.#offset = await fileSize(this.#file);
    if (count === 0) return;
    for (const line of await lastLines(this.#file, count, 0, this.#offset)) this.#print(line);
  }

  /** Prints the lines that were completed since the last call. */
  async printNew(): Promise<void> {
    const size = await fileSize(this.#file);
    // A log that became shorter was replaced: begin again.
    if (size < this.#offset) this.#offset = 0;
    while (this.#offset < size) {
      const end = Math.min(size, this.#offset + PIECE_BYTES_MAX);
      const lines = (this.#rest + (await readPiece(this.#file, this.#offset, end))).split('\n');
      this.#offset = end;
      this.#rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') this.#print(line);
    }
  }

  #print(line: string): void {
    const { io, options, paint } = this.#session;
    io.stdout.write(options.output === 'table' ? `${formatLogLine(this.#id, line, paint)}\n` : `${line}\n`);
  }
}

const TONES: Readonly<Record<string, Tone>> = { error: 'bad', fatal: 'bad', warn: 'busy' };
/** Known to the reader already: by the prefix, or of no use to people. */
const LEFT_OUT = new Set(['ts', 'time', 'level', 'component', 'msg', 'pid', 'hostname', 'node', 'node_id', 'nodeId']);

/** One JSON log line for people: `coordinator-1  10:25:01.123  info  raft: became leader  term=3`. */
function formatLogLine(id: string, line: string, paint: Paint): string {
  const entry = parseEntry(line);
  const prefix = paint('dim', id);
  if (entry === undefined) return `${prefix}  ${singleLine(line, LINE_CHARS_MAX)}`;
  const level = typeof entry['level'] === 'string' ? entry['level'] : 'info';
  const component = typeof entry['component'] === 'string' ? `${entry['component']}: ` : '';
  const rest = Object.entries(entry)
    .filter(([key]) => !LEFT_OUT.has(key))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const message = typeof entry['msg'] === 'string' ? entry['msg'] : '';
  const text = [`${component}${message}`, ...rest].join('  ');
  const word = paint(TONES[level] ?? 'dim', level.padEnd(5));
  return `${prefix}  ${clock(entry['ts'] ?? entry['time'])}  ${word}  ${singleLine(text, LINE_CHARS_MAX)}`;
}

function parseEntry(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : undefined;
  } catch {
    return undefined;
  }
}

function clock(ts: unknown): string {
  const date = typeof ts === 'number' || typeof ts === 'string' ? new Date(ts) : undefined;
  if (date === undefined || Number.isNaN(date.getTime())) return '-';
  const pad = (value: number, width: number): string => String(value).padStart(width, '0');
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => pad(part, 2)).join(':');
  return `${time}.${pad(date.getMilliseconds(), 3)}`;
}
