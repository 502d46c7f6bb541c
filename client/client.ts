/**
 * A client of the binary protocol: messages, queries and changes over one connection with many calls under way.
 *
 * 1. Every message goes out under an id of its own, so whatever happened to a call, sending it again makes no second one.
 * 2. What may succeed later is sent again, with growing pauses, until the deadline; each message has its own outcome.
 * 3. Nothing is queued without bound: `send` waits for room in the window, and beyond a limit is refused.
 */
import { randomInt, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { TlsFiles } from '../api/tls.ts';
import { isLoopback, parseAddress } from '../base/address.ts';
import { DistricError } from '../base/errors.ts';
import { Random } from '../base/random.ts';
import { UuidSource } from '../base/uuid.ts';
import { mayRetry, RETRY_POLICY, retryDelayMs } from '../node/core/rpc/retry.ts';
import type { Message } from '../node/core/tlv/messages.ts';
import { nodeHost } from '../node/io/host.ts';
import { CallerNet } from '../node/io/net/caller-net.ts';
import { NO_LOG, NO_METRICS, type NetLog, type NetMetrics } from '../node/io/net/net-metrics.ts';
import type { PoolMetrics } from '../node/io/net/tcp-pool.ts';
import type { TlsMaterial } from '../node/io/net/tls-transport.ts';
import { batchesOf, type Batch, itemOf, type OutgoingMessage, type SendOutcome } from './batch.ts';
import { openTls, type ClientTls } from './client-tls.ts';
import { LeaderLink } from './leader-link.ts';
import type { ChangeRequest, QueryRequest } from './requests.ts';
import { pause } from './pause.ts';
import { pipelined } from './pipelined.ts';
import { Window, WINDOW_LIMITS, type WindowLimits } from './window.ts';

export { DistricError } from '../base/errors.ts';
export type { OutgoingMessage, Receipt, SendOutcome } from './batch.ts';
export type { NetMetrics } from '../node/io/net/net-metrics.ts';
export type { PoolMetrics } from '../node/io/net/tcp-pool.ts';
export type { ChangeRequest, QueryRequest } from './requests.ts';

export interface ClientOptions {
  /** `host:port` of the binary protocol of some coordinators; they tell of the others. */
  servers: readonly string[];
  /** Refuse to talk to any other cluster. With `tls` it is by default the one of the own certificate. */
  clusterName?: string;
  apiKey?: string;
  /** PEM, or files, which are followed while the client is open. Without it the connection is in plain text. */
  tls?: TlsMaterial | TlsFiles;
  /** Sends `apiKey` in plain text to other machines, too. Without it that is refused: it would be anybody's on the way. */
  insecure?: boolean;
  /** Kept with each message; of clients without a key, idempotency keys belong to it. */
  source?: string;
  /** How coordinators name this client in their logs. */
  name?: string;
  window?: Partial<WindowLimits>;
  log?: NetLog;
  /** Counts connections, bytes, calls and errors, as the tcp_* and rpc_* of a node. */
  metrics?: NetMetrics;
  /** Of the connections that are kept; only clients have such a pool. */
  poolMetrics?: PoolMetrics;
  /** Told when the coordinator in use changes; undefined when there is none. */
  onConnected?: (address: string | undefined) => void;
}

export interface SendOptions {
  /** Rejects the promise with its reason. What was sent may still be kept. */
  signal?: AbortSignal;
  /** From the call on, waiting included; default 30 s. */
  deadlineMs?: number;
  /** Instead of the client's. */
  source?: string;
  /** W3C `traceparent`. */
  traceparent?: string;
}

export interface QueryOptions extends Omit<SendOptions, 'source'> {
  /** Default linearizable. */
  consistency?: 'linearizable' | 'stale';
}

const DEADLINE_MS = 30_000;
/** One try of a call: shorter than the whole, so that a coordinator that hangs does not cost all the time there is. */
const TRY_MS = 12_000;

export class DistricClient {
  readonly #options: ClientOptions;
  readonly #random = new Random(randomInt(2 ** 47));
  readonly #ids = new UuidSource(new Random(randomInt(2 ** 47)));
  readonly #net: CallerNet;
  readonly #link: LeaderLink;
  readonly #window: Window;
  readonly #tls: ClientTls | undefined;
  #closed = false;

  private constructor(options: ClientOptions) {
    const { apiKey, log = NO_LOG, metrics = NO_METRICS } = options;
    if (options.servers.length === 0) throw new DistricError('INVALID_REQUEST', 'servers: must name a coordinator');
    // Throws INVALID_REQUEST now, and not at the first try to connect.
    for (const server of options.servers) parseAddress(server);
    const mayDial = (address: string): boolean =>
      apiKey === undefined || options.tls !== undefined || options.insecure === true || isLoopback(hostOf(address));
    const exposed = options.servers.find((server) => !mayDial(server));
    if (exposed !== undefined) throw clearText(exposed);
    const tls =
      options.tls &&
      openTls(options.tls, options.clusterName, log, () => {
        this.#link.renew();
      });
    const clusterName = tls?.clusterName ?? options.clusterName ?? '';
    this.#tls = tls;
    this.#options = options;
    this.#window = new Window({ ...WINDOW_LIMITS, ...options.window });
    this.#net = new CallerNet({
      host: nodeHost,
      name: options.name ?? `${hostname().slice(0, 100)}-${randomUUID().slice(0, 8)}`,
      clusterName,
      authorization: apiKey,
      metrics,
      log,
      ...(tls === undefined ? {} : { transport: tls.transport }),
    });
    const { servers, poolMetrics, onConnected } = options;
    this.#link = new LeaderLink(this.#net, { servers, mayDial, random: this.#random, poolMetrics, onConnected });
  }

  /**
   * Resolves once a coordinator takes calls. Rejects with UNAUTHENTICATED (a key, or a certificate: the message says
   * which, why, and what to do) and the like, with NO_LEADER when none is
   * reached by the deadline, and with the reason of `signal`.
   */
  static async connect(
    options: ClientOptions,
    wait: Pick<SendOptions, 'signal' | 'deadlineMs'> = {},
  ): Promise<DistricClient> {
    const client = new DistricClient(options);
    try {
      await client.#connected(performance.now() + (wait.deadlineMs ?? DEADLINE_MS), wait.signal);
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** The coordinator in use, `host:port`: the leader, where it is known and reachable. */
  get address(): string | undefined {
    return this.#link.address;
  }

  /** Batches that have no outcome yet. */
  get unanswered(): number {
    return this.#window.batches;
  }

  /** Resolves when `send` would send at once: what a producer waits for. */
  ready(): Promise<void> {
    return this.#window.ready();
  }

  /**
   * Hands in messages; resolves with one outcome per message, in order. Many may be under way. Rejects only with
   * INVALID_MESSAGE and PAYLOAD_TOO_LARGE (nothing is sent then), QUEUE_FULL (too many wait), SHUTTING_DOWN after
   * `close`, and the reason of `signal`; all other errors are outcomes of messages.
   */
  async send(messages: readonly OutgoingMessage[], options: SendOptions = {}): Promise<SendOutcome[]> {
    const deadlineMs = performance.now() + (options.deadlineMs ?? DEADLINE_MS);
    const batches = batchesOf(messages.map((message) => itemOf(message, this.#ids.next(this.#link.wallMs))));
    const settled = await Promise.all(batches.map((batch) => this.#sendBatch(batch, deadlineMs, options)));
    return settled.length === 1 && settled[0] !== undefined ? settled[0] : settled.flat();
  }

  /**
   * Sends what `source` gives as fast as it is taken in, and gives the outcomes of each batch, in order. Reads no
   * more of `source` than the window holds.
   */
  async *sendStream(
    source: AsyncIterable<readonly OutgoingMessage[]> | Iterable<readonly OutgoingMessage[]>,
    options: SendOptions = {},
  ): AsyncGenerator<SendOutcome[]> {
    const batchesMax = this.#options.window?.batchesMax ?? WINDOW_LIMITS.batchesMax;
    yield* pipelined(source, (messages) => this.send(messages, options), {
      hasRoom: () => this.#window.hasRoom,
      underWayMax: batchesMax,
    });
  }

  /** The answer as REST gives it (`docs/api.md`). Rejects with NOT_FOUND and the other codes. */
  async query(query: QueryRequest, options: QueryOptions = {}): Promise<unknown> {
    const { consistency = 'linearizable' } = options;
    const answer = await this.#call(
      { kind: 'CLIENT_QUERY', body: { query: JSON.stringify(query), consistency } },
      options,
      true,
    );
    return resultOf(answer);
  }

  /** Puts or deletes a rule or workflow, or cancels an instance; resolves with the resource as stored. */
  async change(change: ChangeRequest, options: Omit<SendOptions, 'source'> = {}): Promise<unknown> {
    const idempotent = !('mode' in change && change.mode === 'create');
    const message: Message = { kind: 'CLIENT_ADMIN', body: { command: JSON.stringify(change) } };
    return resultOf(await this.#call(message, options, idempotent));
  }

  /** Ends the connection; what has no outcome yet gets one: unknown where it was sent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#tls?.watch?.close();
    this.#link.close();
    await this.#net.close();
  }

  async #sendBatch(batch: Batch, deadlineMs: number, options: SendOptions): Promise<SendOutcome[]> {
    const { signal, traceparent, source = this.#options.source } = options;
    const waiting = this.#window.take(batch.bytes, signal);
    if (waiting !== undefined) await waiting;
    try {
      for (let attempt = 0; batch.openCount > 0; attempt++) {
        const body = { items: batch.items, ...(source === undefined ? {} : { source }) };
        try {
          const answer = await this.#try({ kind: 'CLIENT_MESSAGE', body }, deadlineMs, signal, traceparent);
          if (answer.kind !== 'CLIENT_RESPONSE') throw new DistricError('INTERNAL', `${answer.kind} is no answer`);
          batch.answer(answer.body);
        } catch (error) {
          if (!(error instanceof DistricError) || signal?.aborted === true) throw error;
          if (this.#closed) batch.giveUp(error);
          else batch.fail(error);
        }
        if (batch.openCount > 0 && !(await this.#pause(attempt, deadlineMs, signal))) {
          batch.giveUp(new DistricError('NO_LEADER', 'no coordinator took the message in time; it was not sent'));
        }
      }
      return batch.outcomes as SendOutcome[];
    } finally {
      this.#window.give(batch.bytes);
    }
  }

  async #call(message: Message, options: SendOptions, idempotent: boolean): Promise<Message> {
    const { signal, traceparent } = options;
    const deadlineMs = performance.now() + (options.deadlineMs ?? DEADLINE_MS);
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#try(message, deadlineMs, signal, traceparent);
      } catch (error) {
        if (!(error instanceof DistricError) || this.#closed || !mayRetry(error.code, idempotent)) throw error;
        if (!(await this.#pause(attempt, deadlineMs, signal))) throw error;
      }
    }
  }

  /** One try, on whatever connection there is. */
  async #try(
    message: Message,
    deadlineMs: number,
    signal: AbortSignal | undefined,
    traceparent: string | undefined,
  ): Promise<Message> {
    const client = this.#link.usable ?? (await this.#connected(deadlineMs, signal));
    const leftMs = Math.max(1, Math.min(TRY_MS, deadlineMs - performance.now()));
    return client.call(message, { deadlineMs: leftMs, signal, traceparent });
  }

  /** Rejects with NO_LEADER at the deadline; the link goes on trying for the next call. */
  async #connected(deadlineMs: number, signal: AbortSignal | undefined) {
    if (this.#closed) throw new DistricError('SHUTTING_DOWN', 'the client is closed');
    signal?.throwIfAborted();
    const ended = new AbortController();
    const given = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
    const expired = pause(Math.max(0, deadlineMs - performance.now()), given).then(() => {
      const last = this.#link.failure === undefined ? '' : `: ${this.#link.failure.message}`;
      throw new DistricError('NO_LEADER', `no coordinator of ${this.#options.servers.join(', ')} is reached${last}`);
    });
    try {
      return await Promise.race([this.#link.connect(), expired]);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      ended.abort();
    }
  }

  /** False when the deadline comes first. */
  async #pause(attempt: number, deadlineMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    const pauseMs = retryDelayMs(RETRY_POLICY, attempt, this.#random);
    if (this.#closed || performance.now() + pauseMs >= deadlineMs) return false;
    await pause(pauseMs, signal);
    return true;
  }
}

function hostOf(address: string): string {
  return parseAddress(address).host;
}

function clearText(address: string): DistricError {
  const reason = 'give tls, use a tunnel to localhost, or set insecure where the network is trusted';
  return new DistricError('INVALID_REQUEST', `${address} would get the key in plain text: ${reason}`, [
    { field: 'servers', reason },
  ]);
}

function resultOf(answer: Message): unknown {
  if (answer.kind !== 'CLIENT_RESULT') throw new DistricError('INTERNAL', `${answer.kind} is no answer`);
  return JSON.parse(Buffer.from(answer.body.result).toString('utf8')) as unknown;
}
