import { performance } from 'node:perf_hooks';
import type { Identity } from '../../../api/identity.ts';
import { assert } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';
import type { Host } from '../../../base/host.ts';
import { errorBody } from '../../core/rpc/error-body.ts';
import { HeldCalls, type CreditWindow } from '../../core/rpc/held-calls.ts';
import { traceOf } from '../../core/rpc/trace.ts';
import { FRAME_FLAGS, FRAME_PAYLOAD_BYTES_MAX, type Frame } from '../../core/tlv/frame.ts';
import { encodeMessage, type Message } from '../../core/tlv/messages.ts';
import { isCall, type Connection, type ConnectionOwner } from './connection.ts';
import type { HelloBody } from './hello.ts';
import { LimitedLog } from './limited-log.ts';
import type { NetLog, NetMetrics } from './net-metrics.ts';
import { shedLargest, UnreadAnswers } from './unread-answers.ts';

export type CallAnswer = { message: Message } | { error: DistricError };

/** One call; `done` is called exactly once, later or at once. `done` after the caller has gone does nothing. */
export interface IncomingCall {
  readonly message: Message;
  readonly traceparent: string | undefined;
  readonly done: (answer: CallAnswer) => void;
}

/** Who answers. `S` is what it knows of a caller. */
export interface CallDesk<S> {
  /** `address` is where the caller comes from, `host:port`. */
  open(hello: HelloBody, identity: Identity | undefined, address: string): { session: S } | { error: DistricError };
  call(session: S, call: IncomingCall): void;
  closed(session: S): void;
}

export interface RpcServerLimits {
  /** Callers at once. */
  callersMax: number;
  /** Of each caller. */
  credit: CreditWindow;
  /**
   * Payloads of all unanswered calls together. Over it callers that don't read their answers are closed, those with
   * most calls first; if none is left, calls are refused with QUEUE_FULL.
   */
  heldBytesMax: number;
  /** A caller that leaves so many bytes of answers unread is not read either. */
  unreadBytesMax: number;
  /** Answers of all callers together that are not read yet; over it those that left most are closed. */
  unreadBytesTotalMax: number;
  /** How long `drain` waits for answers. */
  drainMsMax: number;
}

export const RPC_SERVER_LIMITS: RpcServerLimits = {
  callersMax: 12_000,
  credit: { calls: 1_024, bytes: 8 * 1024 * 1024 },
  heldBytesMax: 256 * 1024 * 1024,
  unreadBytesMax: 1024 * 1024,
  unreadBytesTotalMax: 256 * 1024 * 1024,
  drainMsMax: 15_000,
};

export interface RpcServerOptions<S> {
  host: Host;
  desk: CallDesk<S>;
  metrics: NetMetrics;
  log: NetLog;
  limits?: Partial<RpcServerLimits>;
  /** Told to each caller at first; what it says later goes by `broadcast`. */
  greeting?: () => Message;
}

interface Shared<S> extends Omit<RpcServerOptions<S>, 'limits'> {
  readonly limits: RpcServerLimits;
  readonly callers: Set<Caller<S>>;
  readonly unread: UnreadAnswers<Caller<S>>;
  heldBytes: number;
  draining: boolean;
  onDrained: (() => void) | undefined;
}

/** The answering side of calls, on connections that others accept. */
export class RpcServer<S> {
  readonly #shared: Shared<S>;

  constructor(options: RpcServerOptions<S>) {
    const limits = { ...RPC_SERVER_LIMITS, ...options.limits };
    const unread = new UnreadAnswers<Caller<S>>(limits.unreadBytesTotalMax, (caller) => {
      caller.shed('unread_limit');
    });
    const begin = { callers: new Set<Caller<S>>(), heldBytes: 0, draining: false, onDrained: undefined };
    const log = new LimitedLog(options.log);
    this.#shared = { ...options, log, limits, unread, ...begin };
  }

  get callers(): number {
    return this.#shared.callers.size;
  }

  /** A connection whose HELLO came and was answered: admits it, or tells it why not and closes it. True when it is in. */
  accept(connection: Connection, hello: HelloBody): boolean {
    const { desk, limits, callers, draining, metrics, log, greeting } = this.#shared;
    const opened = draining
      ? { error: new DistricError('SHUTTING_DOWN', 'this node is shutting down: ask another one') }
      : callers.size >= limits.callersMax
        ? { error: new DistricError('QUEUE_FULL', 'this node has as many clients as it takes') }
        : desk.open(hello, connection.identity, connection.address);
    if ('error' in opened) {
      const { code, message } = opened.error;
      metrics.tcpError('refused');
      // The first refusals of a flood are news, the others would fill the log.
      const level = code === 'RATE_LIMITED' ? 'debug' : 'warn';
      log[level]({ address: connection.address, code, reason: message, nodeId: hello.nodeId }, 'client refused');
      const envelope = { flags: FRAME_FLAGS.response | FRAME_FLAGS.error, messageId: 0 };
      connection.send({ kind: 'RPC_ERROR', body: errorBody(opened.error) }, envelope);
      connection.goAway(code);
      return false;
    }
    const caller = new Caller(this.#shared, connection, opened.session);
    callers.add(caller);
    connection.owner = caller;
    connection.hold('bulk');
    connection.release();
    if (greeting !== undefined) connection.send(greeting());
    connection.send({ kind: 'CREDIT', body: limits.credit });
    return true;
  }

  /** Tells every caller, one way. */
  broadcast(message: Message): void {
    for (const caller of this.#shared.callers) caller.tell(message);
  }

  /** Lets go of callers that are here so long: each has to show anew who it is. What they asked is answered first. */
  endOlderThan(ageMsMax: number): void {
    const sinceMs = performance.now() - ageMsMax;
    for (const caller of this.#shared.callers) if (caller.sinceMs < sinceMs) caller.leave('too_old');
  }

  /** Takes no new callers and calls; resolves when all that is held is answered, or after `drainMsMax`. */
  async drain(): Promise<void> {
    const shared = this.#shared;
    shared.draining = true;
    for (const caller of shared.callers) caller.leave('shutting_down');
    if (shared.callers.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, shared.limits.drainMsMax);
      shared.onDrained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

class Caller<S> implements ConnectionOwner {
  readonly sinceMs = performance.now();
  readonly #shared: Shared<S>;
  readonly #connection: Connection;
  readonly #session: S;
  readonly #held: HeldCalls;
  /** Calls that wait until their caller reads what it was answered; undefined while it does. */
  #deferred: IncomingCall[] | undefined;
  /** Why no more calls are wanted of it. */
  #leaving: string | undefined;
  #gone = false;

  constructor(shared: Shared<S>, connection: Connection, session: S) {
    this.#shared = shared;
    this.#connection = connection;
    this.#session = session;
    this.#held = new HeldCalls(shared.limits.credit);
  }

  /** Says that no more calls are wanted; the connection ends with the last answer. */
  leave(reason: string): void {
    if (this.#leaving !== undefined) return;
    this.#leaving = reason;
    this.#connection.send({ kind: 'GOAWAY', body: { reason } });
    this.#endIfIdle();
  }

  tell(message: Message): void {
    this.#connection.send(message);
  }

  get unreadBytes(): number {
    return this.#connection.unsentBytes;
  }

  /** Calls of it that wait until it reads. */
  get deferredBytes(): number {
    return this.#deferred === undefined ? 0 : this.#held.bytes;
  }

  /** Makes room for the others: it does not read, so there is nothing to tell it. */
  shed(reason: 'unread_limit' | 'held_limit'): void {
    const { metrics, log } = this.#shared;
    const { unreadBytes, deferredBytes } = this;
    metrics.tcpError(reason);
    const fields = { address: this.#connection.address, reason, unreadBytes, deferredBytes };
    log.warn(fields, 'client closed: it does not read, and others need the room');
    this.#connection.destroy(reason);
  }

  hello(): void {
    assert(false, 'a connection has one HELLO');
  }

  message(connection: Connection, message: Message, frame: Frame): void {
    const { metrics, log, host } = this.#shared;
    if (!isCall(frame)) {
      metrics.tcpError('unknown_message');
      return;
    }
    const bytes = frame.payload.length;
    const taken = this.#held.take(frame.messageId, bytes);
    if (taken !== 'taken') {
      metrics.tcpError('protocol_error');
      log.warn({ address: connection.address, reason: taken }, 'client closed: it sent more than it may');
      connection.goAway(taken);
      return;
    }
    this.#shared.heldBytes += bytes;
    const startedMs = performance.now();
    const call: IncomingCall = {
      message,
      traceparent: traceOf(host, frame.payload),
      done: (answer) => {
        this.#answer(frame.messageId, message, startedMs, answer);
      },
    };
    this.#take(call);
  }

  #take(call: IncomingCall): void {
    const excess = this.#shared.heldBytes - this.#shared.limits.heldBytesMax;
    if (excess > 0) {
      const end = (caller: Caller<S>): void => {
        caller.shed('held_limit');
      };
      shedLargest(this.#shared.callers, excess, (caller) => caller.deferredBytes, end);
    }
    if (this.#deferred !== undefined) this.#deferred.push(call);
    else this.#dispatch(call);
  }

  #dispatch(call: IncomingCall): void {
    const { limits, desk } = this.#shared;
    if (this.#gone) call.done({ error: GONE });
    else if (this.#leaving !== undefined) call.done({ error: LEAVING });
    else if (this.#shared.heldBytes > limits.heldBytesMax) {
      call.done({ error: new DistricError('QUEUE_FULL', 'this node holds as many calls as it takes') });
    } else desk.call(this.#session, call);
  }

  goAway(connection: Connection, reason: string): void {
    // What it asked before is still answered where the other end listens; a client that says goodbye does not.
    connection.end(reason);
  }

  closed(): void {
    this.#gone = true;
    const { callers, unread, desk } = this.#shared;
    unread.forget(this);
    // Calls that are still carried out give their bytes back when they are done.
    callers.delete(this);
    const deferred = this.#deferred ?? [];
    this.#deferred = undefined;
    for (const call of deferred) call.done({ error: GONE });
    desk.closed(this.#session);
    if (callers.size === 0) this.#shared.onDrained?.();
  }

  #answer(messageId: number, asked: Message, startedMs: number, answer: CallAnswer): void {
    const bytes = this.#held.release(messageId);
    assert(bytes !== undefined, 'a call is answered once');
    this.#shared.heldBytes -= bytes;
    if (this.#gone) return;
    const { metrics, limits } = this.#shared;
    metrics.rpcAnswered(asked.kind, (performance.now() - startedMs) / 1_000);
    if (!this.#send(messageId, answer)) {
      this.#connection.destroy('slow_consumer');
      return;
    }
    if (this.#deferred === undefined && this.#connection.unsentBytes > limits.unreadBytesMax) this.#defer();
    this.#shared.unread.note(this);
    this.#endIfIdle();
  }

  #send(messageId: number, answer: CallAnswer): boolean {
    const { host } = this.#shared;
    if ('message' in answer) {
      const { payload } = encodeMessage(host, answer.message);
      if (payload.length <= FRAME_PAYLOAD_BYTES_MAX) {
        return this.#connection.send(answer.message, { flags: FRAME_FLAGS.response, messageId, payload });
      }
    }
    const body = errorBody('error' in answer ? answer.error : TOO_LARGE);
    return this.#connection.send(
      { kind: 'RPC_ERROR', body },
      { flags: FRAME_FLAGS.response | FRAME_FLAGS.error, messageId },
    );
  }

  /** Calls that are here already wait until the answers before them are read; no others are read meanwhile. */
  #defer(): void {
    const paused = this.#connection.pauseUntilDrained(() => {
      const calls = this.#deferred ?? [];
      this.#deferred = undefined;
      for (const call of calls) {
        this.#take(call);
      }
    });
    if (paused) this.#deferred = [];
  }

  #endIfIdle(): void {
    if (this.#leaving !== undefined && this.#held.calls === 0) this.#connection.end(this.#leaving);
  }
}

const LEAVING = new DistricError('SHUTTING_DOWN', 'this connection ends: make a new one');
const GONE = new DistricError('SHUTTING_DOWN', 'the caller has gone');
const TOO_LARGE = new DistricError('PAYLOAD_TOO_LARGE', 'the answer is over the frame limit: ask for less at once');
