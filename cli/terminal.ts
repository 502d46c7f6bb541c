import { styleText } from 'node:util';

/** Somewhere to write text: a process stream, or a buffer in a test. */
export interface Writer {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

/** Everything a command may touch outside the file system and the network. */
export interface Io {
  readonly stdout: Writer;
  readonly stderr: Writer;
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Ends commands that would run for ever (`logs -f`). */
  readonly signal?: AbortSignal;
}

export type Tone = 'good' | 'bad' | 'busy' | 'dim';
export type Paint = (tone: Tone, text: string) => string;

const COLOURS = { good: 'green', bad: 'red', busy: 'cyan', dim: 'dim' } as const;

/** Colours only for people: on a terminal, and without NO_COLOR (https://no-color.org). */
export function painter(io: Io): Paint {
  const noColour = io.env['NO_COLOR'];
  const coloured = io.stdout.isTTY === true && (noColour === undefined || noColour === '');
  return (tone, text) => (coloured ? styleText(COLOURS[tone], text, { validateStream: false }) : text);
}

const CONTROL = new RegExp('[\\u0000-\\u001f\\u007f-\\u009f]+', 'gu');

/** Text of others on one line, without the control characters that could move the cursor or forge a line. */
export function singleLine(text: string, lengthMax = 120): string {
  const clean = text.replace(CONTROL, ' ').trim();
  return clean.length > lengthMax ? `${clean.slice(0, lengthMax - 1)}…` : clean;
}

/** A tone for the state words of nodes, instances and tasks. */
export function stateTone(state: string): Tone {
  switch (state.toLowerCase()) {
    case 'completed':
    case 'alive':
    case 'leader':
    case 'follower':
      return 'good';
    case 'failed':
    case 'timed_out':
    case 'unreachable':
      return 'bad';
    case 'running':
    case 'candidate':
    case 'suspected':
    case 'draining':
      return 'busy';
    default:
      return 'dim';
  }
}

export async function readAll(stdin: Io['stdin']): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}
