import { pino, type DestinationStream, type Level, type Logger } from 'pino';

export type { Logger } from 'pino';

export interface LoggingOptions {
  level: Level | 'silent';
  format: 'json' | 'pretty';
  nodeId: string;
}

/** Log bytes that may wait for a slow reader of our output; more are dropped, the loop never waits for a log. */
const BUFFER_BYTES_MAX = 8 * 1024 * 1024;

/** Nesting that is looked through for secrets; deeper values are cut off. */
const DEPTH_MAX = 6;

const SECRET_KEY =
  /^(authorization|proxy-authorization|cookie|set-cookie)$|(api[-_]?key|private[-_]?key|passw(or)?d|secret|token)$/i;

/** Fields bound to a child logger do not pass through formatters: pino's own redaction, by exact names, covers those. */
const BOUND_SECRETS = ['authorization', 'cookie', 'password', 'secret', 'apiKey', 'token', 'joinToken', 'privateKey'];

const REDACTED = '[redacted]';

/** Logs of one node: lines of `ts` (ms since the epoch), `level` (a word), `node`, `component`, `msg` and fields. */
export class Logging {
  readonly #root: Logger;
  readonly #destination: ReturnType<typeof pino.destination> | undefined;

  /** Writes to standard output unless a destination is given. */
  constructor(options: LoggingOptions, destination?: DestinationStream) {
    const standardOutput = destination === undefined ? standardOutputStream() : undefined;
    this.#destination = standardOutput;
    const target = destination ?? standardOutput;
    const settings = {
      level: options.level,
      base: { node: options.nodeId },
      messageKey: 'msg',
      redact: { paths: BOUND_SECRETS, censor: (value: unknown) => (typeof value === 'string' ? REDACTED : value) },
      timestamp: () => `,"ts":${Date.now()}`,
      formatters: {
        level: (label: string) => ({ level: label }),
        log: (fields: Record<string, unknown>) => redacted(fields),
      },
    };
    this.#root = pino(settings, options.format === 'pretty' && target !== undefined ? prettyStream(target) : target);
  }

  /** The logger of one part of the node, such as `raft` or `http`. */
  component(name: string): Logger {
    return this.#root.child({ component: name });
  }

  /** Writes out what is buffered; call it before the process exits. */
  flush(): void {
    this.#destination?.flushSync();
  }
}

function standardOutputStream(): ReturnType<typeof pino.destination> {
  return pino.destination({ dest: 1, sync: false, maxLength: BUFFER_BYTES_MAX });
}

/** Numbers under such a name are no secrets: a task's fencing token has to be seen. */
function redacted(fields: Record<string, unknown>): Record<string, unknown> {
  return copyOf(fields, 0) as Record<string, unknown>;
}

function copyOf(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Error || 'toJSON' in value) return value;
  if (depth === DEPTH_MAX) return '[too deep]';
  if (Array.isArray(value)) return value.map((item) => copyOf(item, depth + 1));
  const copy: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(value)) {
    copy[key] = typeof child === 'string' && SECRET_KEY.test(key) ? REDACTED : copyOf(child, depth + 1);
  }
  return copy;
}

/** `12:34:56.789 info  raft  became leader term=3`, for people. */
function prettyStream(target: DestinationStream): DestinationStream {
  return {
    write(line: string): void {
      const { ts, level, component, msg, node, ...fields } = JSON.parse(line) as Record<string, unknown>;
      const time = new Date(Number(ts)).toISOString().slice(11, 23);
      const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${text(value)}`);
      const head = `${time} ${text(level).padEnd(5)} ${text(node)} ${text(component ?? '-').padEnd(9)}`;
      target.write(`${head} ${text(msg ?? '')}${rest.join('')}\n`);
    },
  };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
