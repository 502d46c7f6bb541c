import { MESSAGE_ITEM_BYTES_MAX } from '../api/message.ts';
import { DistricError } from '../base/errors.ts';
import { errorOfBody } from '../node/core/rpc/error-body.ts';
import { mayRetry } from '../node/core/rpc/retry.ts';
import type { Body } from '../node/core/tlv/messages.ts';

/** One message to hand in. */
export interface OutgoingMessage {
  /** A JSON object: as such, or as its text or UTF-8 bytes, which then go out as they are. */
  payload: Record<string, unknown> | string | Uint8Array;
  /**
   * Names the message for 24 h, to whoever sends it: a second one under it gets the first outcome, from another process
   * too. Within one `send` a message is kept once with and without it; without, that costs the cluster less.
   */
  idempotencyKey?: string;
  /** `x-` and `ce-` names, in lower case; kept with the message. */
  headers?: Readonly<Record<string, string>>;
}

/** An accepted message, synced to disk on a majority of coordinators. */
export interface Receipt {
  messageId: string;
  /** Per started instance: the workflow, in the order of `instances`. */
  workflowsTriggered: readonly string[];
  instances: readonly string[];
  /** True when an earlier message with the same idempotency key gave this outcome. */
  duplicate: boolean;
}

export type SendOutcome = { accepted: Receipt } | { error: DistricError };

type Item = Body<'CLIENT_MESSAGE'>['items'][number];

/** Of one call, so that a frame holds it, whatever its outcomes. */
export const CALL_ITEMS_MAX = 1_000;
export const CALL_BYTES_MAX = 2 * 1024 * 1024;

const NONE: readonly string[] = [];

/** Messages of one call, until each has its outcome. What may succeed later is sent again, under the same id. */
export class Batch {
  /** Of the payloads. */
  readonly bytes: number;
  readonly outcomes: (SendOutcome | undefined)[];
  #open: { index: number; item: Item }[];
  #lastErrors: (DistricError | undefined)[] = [];

  constructor(items: readonly Item[]) {
    this.bytes = items.reduce((sum, { payload }) => sum + payload.length, 0);
    this.outcomes = new Array<undefined>(items.length);
    this.#open = items.map((item, index) => ({ index, item }));
  }

  /** How many messages have no outcome yet. */
  get openCount(): number {
    return this.#open.length;
  }

  /** What is to be sent (again) now. */
  get items(): Item[] {
    return this.#open.map(({ item }) => item);
  }

  /** Outcomes of `items`, in their order. */
  answer({ messageIds, started, duplicates, refused }: Body<'CLIENT_RESPONSE'>): void {
    const sent = this.#open;
    if (messageIds.length !== sent.length) {
      throw new DistricError('INTERNAL', `${messageIds.length} outcomes for ${sent.length} messages`);
    }
    const errors = new Map(refused.map(({ index, error }) => [index, errorOfBody(error)]));
    const starts = new Map(started.map((one) => [one.index, one]));
    const known = new Set(duplicates);
    this.#open = sent.filter(({ index }, position) => {
      const error = errors.get(position);
      if (error !== undefined) return !this.#refuse(index, error);
      const { workflows = NONE, instances = NONE } = starts.get(position) ?? {};
      const messageId = messageIds[position] ?? '';
      const duplicate = known.has(position);
      this.outcomes[index] = { accepted: { messageId, workflowsTriggered: workflows, instances, duplicate } };
      return false;
    });
  }

  /** The call failed as a whole. */
  fail(error: DistricError): void {
    this.#open = this.#open.filter(({ index }) => !this.#refuse(index, error));
  }

  /** No time is left. Where a message may have been kept the error is OUTCOME_UNKNOWN, else why it was not. */
  giveUp(error: DistricError): void {
    for (const { index } of this.#open) this.outcomes[index] = { error: this.#lastErrors[index] ?? error };
    this.#open = [];
  }

  /** True when that is the outcome. */
  #refuse(index: number, error: DistricError): boolean {
    // Once it is unknown whether a message was kept, no later refusal makes it known.
    if (this.#lastErrors[index]?.code !== 'OUTCOME_UNKNOWN') this.#lastErrors[index] = error;
    if (mayRetry(error.code, true)) return false;
    this.outcomes[index] = { error: this.#lastErrors[index] ?? error };
    return true;
  }
}

/** Throws INVALID_MESSAGE, PAYLOAD_TOO_LARGE: what no coordinator would take is not sent at all. */
export function itemOf({ payload, idempotencyKey, headers }: OutgoingMessage, messageId: string): Item {
  const bytes = payload instanceof Uint8Array ? payload : Buffer.from(textOf(payload), 'utf8');
  if (bytes.length > MESSAGE_ITEM_BYTES_MAX) {
    throw new DistricError('PAYLOAD_TOO_LARGE', `a message has at most ${MESSAGE_ITEM_BYTES_MAX} bytes`);
  }
  return {
    payload: bytes,
    messageId,
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(headers === undefined ? {} : { headers: JSON.stringify(headers) }),
  };
}

function textOf(payload: Record<string, unknown> | string): string {
  if (typeof payload === 'string') return payload;
  const text = JSON.stringify(payload) as string | undefined;
  if (text !== undefined) return text;
  throw new DistricError('INVALID_MESSAGE', 'a message is a JSON object');
}

/** In order, each fit for one call. */
export function batchesOf(items: readonly Item[]): Batch[] {
  const batches: Batch[] = [];
  let group: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    if (group.length >= CALL_ITEMS_MAX || (group.length > 0 && bytes + item.payload.length > CALL_BYTES_MAX)) {
      batches.push(new Batch(group));
      group = [];
      bytes = 0;
    }
    group.push(item);
    bytes += item.payload.length;
  }
  if (group.length > 0) batches.push(new Batch(group));
  return batches;
}
