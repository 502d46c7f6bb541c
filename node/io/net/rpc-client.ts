import { performance } from 'node:perf_hooks';
import { DistricError } from '../../../base/errors.ts';
import { CALL_LIMITS, CallTable, type Call, type CallLimits } from '../../core/rpc/call-table.ts';
import { errorOfBody } from '../../core/rpc/error-body.ts';
import { isTraceparent, withTrace } from '../../core/rpc/trace.ts';
import { FRAME_FLAGS, FRAME_PAYLOAD_BYTES_MAX, type Frame } from '../../core/tlv/frame.ts';
import { encodeMessage, type Message } from '../../core/tlv/messages.ts';
import type { Connection, ConnectionOwner, NetContext } from './connection.ts';
import type { HelloBody } from './hello.ts';
import { RefusedError } from './refused-error.ts';

export interface CallOptions {
  /** For the whole call, waiting for credit included; default CALL_DEADLINE_MS. */
  deadlineMs?: number;
  signal?: AbortSignal | undefined;
  /** W3C `traceparent` of the caller. */
  traceparent?: string | undefined;
}

export const CALL_DEADLINE_MS = 10_000;
/** With HELLO, for the connection to be admitted. */
const OPEN_MS_MAX = 10_000;

interface Waiting {
  readonly message: Message;
  readonly payload: Uint8Array;
  readonly resolve: (answer: Message) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: (() => void) | undefined;
}

export interface RpcClientHooks {
  /** Exactly once, after `opened` was settled. */
  closed(client: RpcClient, reason: string): void;
  /** What the other end says of its own accord. */
  told(client: RpcClient, message: Message): void;
}

/**
 * One connection that asks: many calls under way, answered in any order. Calls beyond the other end's credit wait, a
 * bounded number of them; beyond that a call is refused with QUEUE_FULL.
 */
export class RpcClient implements ConnectionOwner {
  readonly connection: Connection;
  /** Resolves with the other end's HELLO once it takes calls. Rejects with why it does not. */
  readonly opened: Promise<HelloBody>;
  readonly #context: NetContext;
  readonly #hooks: RpcClientHooks;
  readonly #table: CallTable<Waiting>;
  readonly #openDeadlineMs = performance.now() + OPEN_MS_MAX;
  #resolveOpened: (hello: HelloBody) => void = () => undefined;
  #rejectOpened: (error: DistricError) => void = () => undefined;
  #hello: HelloBody | undefined;
  #state: 'opening' | 'open' | 'draining' | 'closed' = 'opening';
  #refusal: DistricError | undefined;

  /** `makeConnection` is given this as the connection's owner. */
  constructor(
    context: NetContext,
    hooks: RpcClientHooks,
    makeConnection: (owner: ConnectionOwner) => Connection,
    limits: CallLimits = CALL_LIMITS,
  ) {
    this.#context = context;
    this.#hooks = hooks;
    this.#table = new CallTable(limits);
    this.opened = new Promise((resolve, reject) => {
      this.#resolveOpened = resolve;
      this.#rejectOpened = reject;
    });
    // Whoever awaits it still gets it; nobody has to.
    this.opened.catch(() => undefined);
    this.connection = makeConnection(this);
  }

  /** Open, and the other end takes new calls. */
  get usable(): boolean {
    return this.#state === 'open';
  }

  get callsUnderWay(): number {
    return this.#table.openCalls + this.#table.waitingCalls;
  }

  /** True when a call with a payload of `bytes` would go out at once. */
  hasRoom(bytes: number): boolean {
    return this.#state === 'open' && this.#table.hasRoom(bytes);
  }

  /**
   * Resolves with the answer. Rejects with the other end's error, with QUEUE_FULL (never sent), with NO_LEADER when the
   * connection is not usable (never sent), with OUTCOME_UNKNOWN when it was sent and no answer came, or with the
   * reason of `signal`.
   */
  call(message: Message, options: CallOptions = {}): Promise<Message> {
    const { signal, traceparent, deadlineMs = CALL_DEADLINE_MS } = options;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#state === 'draining' || this.#state === 'closed') {
        throw new DistricError('NO_LEADER', `the connection to ${this.connection.address} is closed`);
      }
      const payload = this.#payloadOf(message, traceparent);
      const onAbort = signal && (() => this.#cancel(call, signal));
      const waiting: Waiting = { message, payload, resolve, reject, signal, onAbort };
      const call = this.#table.submit(payload.length, performance.now() + deadlineMs, waiting);
      if (call === undefined) {
        this.#context.metrics.rpcError(message.kind, 'queue_full');
        throw new DistricError('QUEUE_FULL', 'more calls wait for credit than this connection holds');
      }
      if (onAbort !== undefined) signal?.addEventListener('abort', onAbort, { once: true });
      this.#pump();
    });
  }

  /** No new calls; ends once those under way are answered. */
  drain(reason: string): void {
    if (this.#state === 'closed') return;
    this.#state = 'draining';
    if (this.callsUnderWay === 0) this.connection.goAway(reason);
  }

  /** Called now and then: gives up the calls whose time is over. */
  sweep(nowMs: number): void {
    for (const call of this.#table.expire(nowMs)) {
      this.#context.metrics.rpcError(call.context.message.kind, 'deadline');
      const error =
        call.id === 0
          ? new DistricError('QUEUE_FULL', 'the call had no credit in time; it was not sent')
          : new DistricError('OUTCOME_UNKNOWN', 'no answer in time: the outcome is unknown');
      this.#reject(call, error);
    }
    if (this.#state === 'opening' && nowMs >= this.#openDeadlineMs) this.connection.destroy('hello_timeout');
  }

  hello(connection: Connection, hello: HelloBody): void {
    const { identity } = connection;
    if (identity !== undefined && (identity.role !== hello.role || identity.name !== hello.nodeId)) {
      connection.goAway('certificate_of_another_node');
      return;
    }
    this.#hello = hello;
    connection.hold('bulk');
    connection.release();
  }

  message(connection: Connection, message: Message, frame: Frame): void {
    if (message.kind === 'CREDIT') {
      this.#table.grant(message.body.calls, message.body.bytes);
      if (this.#state === 'opening' && this.#hello !== undefined) {
        this.#state = 'open';
        this.#resolveOpened(this.#hello);
      }
      this.#pump();
    } else if ((frame.flags & FRAME_FLAGS.response) === 0) this.#hooks.told(this, message);
    else if (frame.messageId === 0 && message.kind === 'RPC_ERROR') this.#refusal = errorOfBody(message.body);
    else this.#answered(connection, message, frame);
  }

  goAway(connection: Connection, reason: string): void {
    if (this.#state === 'opening') {
      this.#refusal ??= RefusedError.of(connection.address, reason, true);
      connection.end(reason);
    } else this.#state = 'draining';
  }

  closed(_connection: Connection, reason: string): void {
    const refused = this.#state === 'opening' ? RefusedError.of(this.connection.address, reason, false) : undefined;
    this.#state = 'closed';
    this.#refusal ??= refused;
    const lost = `the connection to ${this.connection.address} was lost: ${reason}`;
    this.#rejectOpened(this.#refusal ?? new DistricError('NO_LEADER', lost));
    for (const call of this.#table.close()) {
      this.#context.metrics.rpcError(call.context.message.kind, 'connection_lost');
      const code = call.id === 0 ? 'NO_LEADER' : 'OUTCOME_UNKNOWN';
      this.#reject(call, this.#refusal ?? new DistricError(code, lost));
    }
    this.#hooks.closed(this, reason);
  }

  #payloadOf(message: Message, traceparent: string | undefined): Uint8Array {
    const { host } = this.#context;
    const { payload } = encodeMessage(host, message);
    const traced = traceparent !== undefined && isTraceparent(traceparent);
    const whole = traced ? withTrace(host, payload, traceparent) : payload;
    if (whole.length <= FRAME_PAYLOAD_BYTES_MAX) return whole;
    throw new DistricError('PAYLOAD_TOO_LARGE', `a call has at most ${FRAME_PAYLOAD_BYTES_MAX} bytes`);
  }

  #pump(): void {
    for (let call = this.#table.start(); call !== undefined; call = this.#table.start()) {
      const { message, payload } = call.context;
      if (!this.connection.send(message, { flags: 0, messageId: call.id, payload })) {
        // The kernel takes nothing although there is credit: the connection is as good as lost.
        this.connection.destroy('send_buffer_full');
        return;
      }
    }
  }

  #answered(connection: Connection, message: Message, frame: Frame): void {
    const call = this.#table.answer(frame.messageId);
    if (call === 'unknown') {
      connection.goAway('protocol_error');
      return;
    }
    if (call === 'late') this.#context.metrics.rpcError(message.kind, 'late');
    else if (message.kind === 'RPC_ERROR') {
      this.#context.metrics.rpcError(call.context.message.kind, 'refused');
      this.#reject(call, errorOfBody(message.body));
    } else {
      forgetSignal(call.context);
      call.context.resolve(message);
    }
    this.#pump();
    if (this.#state === 'draining' && this.callsUnderWay === 0) connection.goAway('drained');
  }

  #cancel(call: Call<Waiting> | undefined, signal: AbortSignal): void {
    if (call === undefined || !this.#table.abandon(call)) return;
    this.#context.metrics.rpcError(call.context.message.kind, 'cancelled');
    this.#reject(call, signal.reason);
  }

  #reject(call: Call<Waiting>, error: unknown): void {
    forgetSignal(call.context);
    call.context.reject(error);
  }
}

function forgetSignal({ signal, onAbort }: Waiting): void {
  if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
}
