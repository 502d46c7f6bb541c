import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import { parseJson } from '../../api/json.ts';
import type { AcceptedMessage, BatchResult, RefusedItem } from '../../api/rest.ts';
import { ERRORS } from '../../base/errors.ts';
import type { RestClient } from '../client.ts';
import { sendBinary } from '../binary-send.ts';
import { CliError, EXIT, exitCodeOfStatus } from '../exit-code.ts';
import type { ExitCode } from '../exit-code.ts';
import { collect } from '../session.ts';
import type { OpenSession, Session } from '../session.ts';
import { readAll, singleLine } from '../terminal.ts';
import type { Io } from '../terminal.ts';

interface SendOptions {
  eventType?: string;
  ndjson?: boolean;
  key?: string;
  binary?: boolean;
  peer?: string[];
}

/** Lines of one NDJSON request: well below the server's limits on items and bytes. */
const BATCH_LINES_MAX = 500;
const BATCH_CHARS_MAX = 4 * 1024 * 1024;

const HELP = `
INPUT is a JSON text, a file, or - for standard input. An array, and NDJSON (one message a line; files ending in .ndjson
or .jsonl are taken so), send many messages: each is accepted or refused on its own.
A single message gets a random idempotency key unless --key gives one, so it is safe to try the next coordinator.

Examples:
  $ distric send '{"event_type":"payment","amount":120}'
  $ distric send opened.json --event-type pull_request --key delivery-42
  $ distric send events.ndjson
  $ distric send events.ndjson --binary`;

export function addSend(parent: Command, open: OpenSession): void {
  parent
    .command('send <input>')
    .description('hand in messages')
    .option('--event-type <type>', 'set event_type of each message')
    .option('--ndjson', 'the input is one JSON object a line')
    .option('--key <key>', 'idempotency key of a single message: a second send gets the first outcome')
    .option('--binary', 'by the binary protocol, many messages under way at once')
    .addOption(
      new Option('--peer <address>', 'for --binary: host:port of a coordinator; repeat it, or separate by commas')
        .argParser(collect)
        .implies({ binary: true }),
    )
    .addHelpText('after', HELP)
    .action(async (input: string, options: SendOptions, command: Command) => {
      await send(open(command), input, options);
    });
}

async function send(session: Session, input: string, options: SendOptions): Promise<void> {
  const text = await readInput(input, session.io);
  const lines = options.ndjson === true || /\.(ndjson|jsonl)$/iu.test(input);
  const many = lines || text.trimStart().startsWith('[');
  if (many && options.key !== undefined) {
    throw new CliError(EXIT.USAGE, '--key is for a single message: an array or NDJSON has no one key');
  }
  if (options.binary === true) {
    const texts = many ? textsOf(text, lines, options.eventType) : [withEventType(text, options.eventType)];
    const result = await sendBinary(session, texts, { key: options.key, peers: options.peer });
    const [only] = result.items;
    if (!many && only?.status === 'accepted') {
      // As REST answers a single message: without its place.
      const receipt = Object.fromEntries(Object.entries(only).filter(([name]) => name !== 'index')) as AcceptedMessage;
      session.print(receipt, () => formatReceipt(receipt));
      return;
    }
    session.print(result, () => formatBatch(result));
    failIfRefused(result);
    return;
  }
  const client = await session.client();
  if (!many) {
    const receipt = await sendOne(client, withEventType(text, options.eventType), options.key ?? randomUUID());
    session.print(receipt, () => formatReceipt(receipt));
    return;
  }
  const result = lines
    ? await sendLines(client, text, options.eventType)
    : await client.request<BatchResult>({
        method: 'POST',
        path: '/messages',
        body: withEventType(text, options.eventType),
      });
  session.print(result, () => formatBatch(result));
  failIfRefused(result);
}

async function readInput(input: string, io: Io): Promise<string> {
  if (input === '-') return readAll(io.stdin);
  if (/^\s*[[{]/u.test(input)) return input;
  try {
    return await readFile(path.resolve(io.cwd, input), 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(EXIT.NOT_FOUND, `INPUT is no JSON object or array, and can't be read as a file: ${reason}`);
  }
}

/** The text as it is, so that the server judges it, unless an event type has to go in. */
function withEventType(text: string, eventType: string | undefined): string {
  if (eventType === undefined) return text;
  const value = parseJson(text);
  const add = (message: unknown, place: string): unknown => {
    if (typeof message === 'object' && message !== null && !Array.isArray(message)) {
      return { ...message, event_type: eventType };
    }
    throw new CliError(EXIT.REFUSED, `${place} is no JSON object, so it can't get an event_type`);
  };
  if (!Array.isArray(value)) return JSON.stringify(add(value, 'the message'));
  return JSON.stringify(value.map((message, index) => add(message, `item ${String(index)}`)));
}

/** The messages of an array or of NDJSON, each as its text: of NDJSON as it is, so that the server judges it. */
function textsOf(text: string, lines: boolean, eventType: string | undefined): string[] {
  if (lines) return [...batches(text.split('\n'), eventType)].flat();
  const value = parseJson(withEventType(text, eventType));
  return (value as unknown[]).map((message) => JSON.stringify(message));
}

function sendOne(client: RestClient, body: string, idempotencyKey: string): Promise<AcceptedMessage> {
  return client.request<AcceptedMessage>({ method: 'POST', path: '/messages', body, idempotencyKey });
}

async function sendLines(client: RestClient, text: string, eventType: string | undefined): Promise<BatchResult> {
  const total: BatchResult = { items: [], accepted: 0, refused: 0, unknown: 0 };
  for (const batch of batches(text.split('\n'), eventType)) {
    const result = await sendBatch(client, batch, total);
    const offset = total.items.length;
    total.items.push(...result.items.map((item) => ({ ...item, index: item.index + offset })));
    total.accepted += result.accepted;
    total.refused += result.refused;
    total.unknown += result.unknown;
  }
  return total;
}

/** A batch that fails as a whole ends the command, but not without telling what was kept before it. */
async function sendBatch(client: RestClient, lines: readonly string[], before: BatchResult): Promise<BatchResult> {
  try {
    const body = `${lines.join('\n')}\n`;
    return await client.request({ method: 'POST', path: '/messages', body, contentType: 'application/x-ndjson' });
  } catch (error) {
    if (!(error instanceof CliError) || before.items.length === 0) throw error;
    const done = `the ${String(before.items.length)} messages before: ${formatCounts(before)}`;
    throw new CliError(error.exitCode, `${error.message}\n${done}`, error.fields);
  }
}

/** Lines in groups that fit a request; empty lines are left out. */
function* batches(lines: Iterable<string>, eventType: string | undefined): Generator<string[]> {
  let batch: string[] = [];
  let chars = 0;
  let number = 0;
  for (const raw of lines) {
    number++;
    if (raw.trim() === '') continue;
    const line = lineWithEventType(raw, eventType, number);
    if (batch.length === BATCH_LINES_MAX || (batch.length > 0 && chars + line.length > BATCH_CHARS_MAX)) {
      yield batch;
      batch = [];
      chars = 0;
    }
    batch.push(line);
    chars += line.length;
  }
  if (batch.length > 0) yield batch;
}

function lineWithEventType(line: string, eventType: string | undefined, number: number): string {
  try {
    return withEventType(line, eventType);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(EXIT.REFUSED, `line ${String(number)}: ${reason}`);
  }
}

function formatReceipt(receipt: AcceptedMessage): string {
  const { workflows_triggered: workflows, instances } = receipt;
  const lines = [`message/${receipt.message_id} ${receipt.status}${receipt.duplicate ? ' (duplicate)' : ''}`];
  workflows.forEach((workflow, index) => {
    lines.push(`  workflow/${workflow} started as ${instances[index] ?? '?'}`);
  });
  if (workflows.length === 0) lines.push('  no rule matched');
  return lines.join('\n');
}

function formatBatch(result: BatchResult): string {
  const rejected = rejectedItems(result).flatMap(({ index, status, code, detail, errors }) => [
    `item ${String(index)} ${status}: ${code}: ${singleLine(detail)}`,
    ...errors.map(({ field, reason }) => `  ${singleLine(field)}: ${singleLine(reason)}`),
  ]);
  return [...rejected, formatCounts(result)].join('\n');
}

function formatCounts({ accepted, refused, unknown }: BatchResult): string {
  return `${String(accepted)} accepted, ${String(refused)} refused${unknown > 0 ? `, ${String(unknown)} unknown` : ''}`;
}

function rejectedItems(result: BatchResult): RefusedItem[] {
  return result.items.filter((item): item is RefusedItem & { index: number } => item.status !== 'accepted');
}

function failIfRefused(result: BatchResult): void {
  const [first] = rejectedItems(result);
  if (first === undefined) return;
  const count = result.refused + result.unknown;
  throw new CliError(exitCodeOfCode(first.code), `${String(count)} of ${String(result.items.length)} not accepted`);
}

function exitCodeOfCode(code: string): ExitCode {
  const known = Object.entries(ERRORS).find(([name]) => name === code)?.[1];
  return known === undefined ? EXIT.FAILURE : exitCodeOfStatus(known.status);
}
