/**
 * A client that keeps sending and writes down what it was told, the way a careful user would.
 *
 * 1. Every message carries a marker of its own; a message sent again carries the same one.
 * 2. An answer "refused" (any 4xx, 429, 503, or no connection at all) means that nothing was kept; 504, a cut connection
 *    or a time-out means that it is not known. Either way it is sent again, until it is acknowledged.
 * 3. A message with an idempotency key goes alone, so that sending it again must not make a second one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { AcceptedMessage, BatchResult } from '../api/rest.ts';
import type { Random } from '../base/random.ts';
import { call, neverSent } from './rest-call.ts';

export interface Sent {
  marker: string;
  keyed: boolean;
  acknowledged: { messageId: string; instances: string[]; duplicate: boolean }[];
  /** Tries whose outcome the client never learnt. */
  unknown: number;
  refused: number;
}

interface Acknowledgement {
  /** When the request was sent and when its answer was there, on the clock of `performance`. */
  sentMs: number;
  answeredMs: number;
}

export interface LoadOptions {
  servers: readonly string[];
  random: Random;
  /** Requests under way at once. */
  loops: number;
  itemsPerBatch: number;
  pauseMs: number;
  /** The body of the `index`-th message, without its marker. */
  payload: (index: number) => Record<string, unknown>;
  /** Begins every marker, so that two clients share none. */
  name: string;
}

const FINISH_TIMEOUT_MS = 30_000;

export class LoadClient {
  readonly sent = new Map<string, Sent>();
  readonly acknowledgements: Acknowledgement[] = [];
  readonly #options: LoadOptions;
  readonly #bodies = new Map<string, string>();
  readonly #loops: Promise<void>[] = [];
  #stopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    for (let loop = 0; loop < options.loops; loop++) this.#loops.push(this.#run());
  }

  /** How long after `momentMs` the first message sent since then was acknowledged; undefined while none is. */
  recoveryMs(momentMs: number): number | undefined {
    const answers = this.acknowledgements.filter(({ sentMs }) => sentMs >= momentMs);
    if (answers.length === 0) return undefined;
    return Math.min(...answers.map(({ answeredMs }) => answeredMs)) - momentMs;
  }

  /** Sends nothing new; resolves when all that was sent is acknowledged. */
  async finish(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  async #run(): Promise<void> {
    const { itemsPerBatch, pauseMs, random } = this.#options;
    let open: Sent[] = [];
    let deadlineMs = Infinity;
    for (let round = 0; ; round++) {
      if (this.#stopped) {
        if (open.length === 0) return;
        deadlineMs = Math.min(deadlineMs, performance.now() + FINISH_TIMEOUT_MS);
        if (performance.now() >= deadlineMs) throw new Error(`${open.length} messages could not be sent`);
      }
      if (open.length === 0) {
        const keyed = round % 3 === 0;
        open = Array.from({ length: keyed ? 1 : itemsPerBatch }, () => this.#compose(keyed));
      }
      await this.#send(open);
      open = open.filter(({ acknowledged }) => acknowledged.length === 0);
      await delay(random.integer(0, 2 * pauseMs));
    }
  }

  #compose(keyed: boolean): Sent {
    const { name, payload } = this.#options;
    const index = this.sent.size;
    const marker = `${name}-${index}`;
    const sent: Sent = { marker, keyed, acknowledged: [], unknown: 0, refused: 0 };
    this.sent.set(marker, sent);
    this.#bodies.set(marker, JSON.stringify({ ...payload(index), marker }));
    return sent;
  }

  async #send(batch: readonly Sent[]): Promise<void> {
    const { servers, random } = this.#options;
    const server = servers[random.integer(0, servers.length - 1)] ?? '';
    const bodies = batch.map(({ marker }) => this.#bodies.get(marker) ?? '');
    const sentMs = performance.now();
    try {
      const only = batch.length === 1 ? batch[0] : undefined;
      if (only?.keyed === true) {
        const headers = { 'idempotency-key': only.marker };
        const answer = await call<AcceptedMessage>(server, 'POST', '/messages', { body: bodies[0] ?? '', headers });
        if (answer.status === 202) note(only, answer.body);
        else noteFailure(batch, answer.status);
      } else {
        const contentType = 'application/x-ndjson';
        const answer = await call<BatchResult>(server, 'POST', '/messages', { body: bodies.join('\n'), contentType });
        if (Array.isArray(answer.body.items)) noteRows(batch, answer.body);
        else noteFailure(batch, answer.status);
      }
    } catch (error) {
      for (const sent of batch) {
        if (neverSent(error)) sent.refused++;
        else sent.unknown++;
      }
    }
    if (batch.some(({ acknowledged }) => acknowledged.length > 0)) {
      this.acknowledgements.push({ sentMs, answeredMs: performance.now() });
    }
  }
}

function note(sent: Sent, { message_id: messageId, instances, duplicate }: AcceptedMessage): void {
  sent.acknowledged.push({ messageId, instances, duplicate });
}

function noteRows(batch: readonly Sent[], { items }: BatchResult): void {
  if (items.length !== batch.length) throw new Error(`${items.length} outcomes for ${batch.length} messages`);
  items.forEach((row, position) => {
    const sent = batch[position];
    if (row.index !== position || sent === undefined) throw new Error('the outcomes are not in the order sent');
    if (row.status === 'accepted') note(sent, row);
    else if (row.status === 'unknown') sent.unknown++;
    else sent.refused++;
  });
}

function noteFailure(batch: readonly Sent[], status: number): void {
  if (status < 400) throw new Error(`status ${status} is neither an acknowledgement nor a refusal`);
  for (const sent of batch) {
    if (status === 504) sent.unknown++;
    else sent.refused++;
  }
}
