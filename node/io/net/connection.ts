import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Identity } from '../../../api/identity.ts';
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { FRAME_FLAGS, FRAME_PAYLOAD_BYTES_MAX, FrameError, FrameReader, type Frame } from '../../core/tlv/frame.ts';
import { decodeMessage, kindOfCode, type Lane, type Message } from '../../core/tlv/messages.ts';
import { MalformedError } from '../../core/tlv/struct.ts';
import { Packer, unpack } from './compression.ts';
import { agreementOf, NO_AGREEMENT, type Agreement } from './features.ts';
import type { FlushQueue } from './flush-queue.ts';
import type { HelloBody, Refusal } from './hello.ts';
import type { NetLimits } from './net-limits.ts';
import type { NetLog, NetMetrics, TcpErrorType } from './net-metrics.ts';
import { ReadGate } from './read-gate.ts';
import type { RoundTrips } from './round-trips.ts';
import { SendQueue, type CallEnvelope } from './send-queue.ts';
import type { CertificateRefusal, Transport } from './transport.ts';

/** What all connections of a PeerNet share. */
export interface NetContext {
  readonly host: Host;
  readonly transport: Transport;
  readonly limits: NetLimits;
  readonly metrics: NetMetrics;
  readonly log: NetLog;
  /** What this end offers in HELLO. */
  readonly features: readonly string[];
  readonly roundTrips: RoundTrips;
  readonly flushQueue: FlushQueue;
  /** Every socket that is not closed yet, for time-outs and for the end. */
  readonly connections: Set<Connection>;
}

/** Of the other end's own words: whoever may connect would fill the log with them. */
const REASON_CHARS_MAX = 200;

/** The reason of a connection that the other end ended in order, after all that it had to say. */
export const CLOSED_BY_PEER = 'closed_by_peer';

/** Who a connection reports to. */
export interface ConnectionOwner {
  hello(connection: Connection, hello: HelloBody): void;
  /** `frame` is what the message came in, its payload unpacked. */
  message(connection: Connection, message: Message, frame: Frame): void;
  /** The peer will send no more, and wants no more. */
  goAway(connection: Connection, reason: string): void;
  /** Exactly once, whichever side ended it; nothing is delivered after it. */
  closed(connection: Connection, reason: string): void;
}

let lastNumber = 0;

/**
 * One socket: frames in and out, HELLO first, time-outs, and a bounded send buffer.
 * connecting -> greeting (no HELLO yet) -> open -> closing (hands over what is queued) -> closed.
 */
export class Connection {
  readonly number = ++lastNumber;
  owner: ConnectionOwner;
  readonly address: string;
  readonly #context: NetContext;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  readonly #queue: SendQueue;
  readonly #gate: ReadGate;
  #state: 'connecting' | 'greeting' | 'open' | 'closing' | 'closed';
  #lane: Lane = 'control';
  #identity: Identity | undefined;
  #agreement: Agreement = NO_AGREEMENT;
  #peerId = '';
  #counted = false;
  #reason = CLOSED_BY_PEER;
  /** Sweeps, not clock time: a process that was paused finds one sweep late, not all its peers dead. */
  #stateSweeps = 0;
  #silentSweeps = 0;
  #quietSweeps = 0;
  #unpingedSweeps = 0;
  #pingSequence = 0;
  /** Of the PING that is not answered yet. */
  #pingSentMs: number | undefined;
  /** Messages that came before the link was up; bounded, as the socket is paused. */
  #held: { message: Message; frame: Frame }[] | undefined;
  #heldToEnd = false;
  #endedHeld = false;
  #onDrained: (() => void) | undefined;
  #warned = false;

  /** An accepted socket is usable already, a dialed one from the `readyEvent` of its transport on. */
  constructor(context: NetContext, owner: ConnectionOwner, socket: Socket, address: string, dialed: boolean) {
    this.#context = context;
    this.owner = owner;
    this.#socket = socket;
    this.address = address;
    this.#queue = new SendQueue(context.host, context.limits, socket, {
      saved: (byteCount) => {
        context.metrics.compressionSaved(byteCount);
      },
      written: () => {
        this.#written();
      },
    });
    this.#gate = new ReadGate(socket, context.limits.turnBytes);
    this.#reader = new FrameReader(context.host, context.limits.helloBytesMax);
    this.#state = 'connecting';
    context.connections.add(this);
    socket.on('data', (chunk: Uint8Array) => {
      this.#receive(chunk);
    });
    socket.on('error', (error) => {
      this.#socketFailed(error);
    });
    socket.on('close', () => {
      context.connections.delete(this);
      if (this.#counted) context.metrics.connectionClosed();
      if (this.#heldToEnd && this.#held !== undefined && this.#reason === CLOSED_BY_PEER) this.#endedHeld = true;
      else this.#closed();
    });
    if (dialed) socket.once(context.transport.readyEvent, () => this.#usable());
    else this.#usable();
  }

  /** What the certificate of the other end proves; undefined on a transport without certificates. */
  get identity(): Identity | undefined {
    return this.#identity;
  }

  /** Resolves once the socket is closed. */
  whenClosed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#state === 'closed') resolve();
      else
        this.#socket.once('close', () => {
          resolve();
        });
    });
  }

  /** False when the message was dropped and counted: the connection is ending, or its send buffer is full. */
  send(message: Message, envelope?: CallEnvelope): boolean {
    const ending = this.#state === 'closing' || this.#state === 'closed';
    const outcome = ending ? 'not_connected' : this.#queue.offer(message, envelope);
    if (outcome !== 'queued') {
      this.#context.metrics.rpcError(message.kind, outcome);
      const fields = { address: this.address, kind: message.kind };
      if (outcome === 'frame_too_large') this.#context.log.warn(fields, 'message over the frame limit dropped');
      return false;
    }
    this.#context.metrics.rpcCall(message.kind);
    if (this.#queue.full) this.flush();
    else this.#context.flushQueue.add(this);
    return true;
  }

  flush(): void {
    // Not a byte for whoever has not proved yet who it is.
    if (this.#state === 'connecting') return;
    this.#sent(this.#queue.flush());
  }

  /** Bytes on their way out that the kernel has not taken yet. */
  get unsentBytes(): number {
    return this.#queue.byteCount;
  }

  /**
   * Reads nothing more until the kernel has taken what is on its way out, then calls `drained`. False when the kernel
   * has taken all there is, and nothing will be called.
   */
  pauseUntilDrained(drained: () => void): boolean {
    this.flush();
    if (this.unsentBytes === 0) return false;
    this.#gate.hold('answers_unread');
    this.#onDrained = drained;
    return true;
  }

  /** After HELLO: nothing is delivered until `release`. */
  hold(lane: Lane): void {
    this.#lane = lane;
    this.#held = [];
    this.#gate.hold('link_not_up');
  }

  /** The end is not told before `release` either: what has come is to be delivered first. */
  holdToEnd(): void {
    this.#heldToEnd = true;
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#silentSweeps = 0;
    this.#gate.release('link_not_up');
    for (const { message, frame } of held) this.#deliver(message, frame);
    if (this.#endedHeld) this.#closed();
  }

  /** Says why, hands over what is queued, and ends; what still comes in is dropped. */
  goAway(reason: string): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    if (this.#state === 'connecting') {
      this.destroy(reason);
      return;
    }
    this.send({ kind: 'GOAWAY', body: { reason } });
    this.end(reason);
  }

  /** Says that nothing more will be sent; what the other end sends until it ends the connection is still taken. */
  sayGoAway(reason: string): void {
    this.send({ kind: 'GOAWAY', body: { reason } });
    this.flush();
  }

  /** How long nothing has come, to the length of a sweep. */
  get silentMs(): number {
    return this.#silentSweeps * this.#context.limits.sweepMs;
  }

  /** Tells the log, the metrics and the other end why it is not let in, and no more; `text` says more than the reason. */
  refuse(reason: Refusal, detail: object, text: string = reason): void {
    this.#context.metrics.tcpError(reason);
    this.#context.log.warn({ address: this.address, reason, ...detail }, 'connection refused');
    this.#queue.clear();
    this.goAway(text);
  }

  /** Hands over what is queued and ends. */
  end(reason: string): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    if (this.#state !== 'connecting') this.#sent(this.#queue.flushAll());
    this.#enter('closing');
    this.#gate.open();
    this.#socket.end();
    this.#finish(reason);
  }

  /** Ends at once, whatever is queued. */
  destroy(reason: string): void {
    if (this.#state === 'closed') return;
    const ended = this.#state === 'closing';
    this.#enter('closing');
    this.#socket.destroy();
    if (!ended) this.#finish(reason);
  }

  /** Called every `sweepMs`. */
  sweep(): void {
    const { limits } = this.#context;
    const reached = (sweeps: number, limitMs: number): boolean => sweeps * limits.sweepMs >= limitMs;
    this.#stateSweeps++;
    if (this.#state === 'connecting') {
      if (reached(this.#stateSweeps, limits.connectMsMax)) this.#fail('connect_timeout', 'connect_timeout');
    } else if (this.#state === 'greeting' || this.#held !== undefined) {
      if (reached(this.#stateSweeps, limits.helloMsMax)) this.#fail('hello_timeout', 'hello_timeout');
    } else if (this.#state === 'closing') {
      if (reached(this.#stateSweeps, limits.drainMsMax)) this.#socket.destroy();
    } else if (this.#state === 'open') {
      if (reached(++this.#silentSweeps, limits.idleMsMax[this.#lane])) this.#fail('idle_timeout', 'idle_timeout');
      else {
        if (reached(++this.#unpingedSweeps, limits.pingMs)) this.#ping();
        if (this.unsentBytes === 0 && reached(++this.#quietSweeps, limits.keepAliveMs[this.#lane]))
          this.send({ kind: 'KEEPALIVE', body: {} });
      }
    }
  }

  /** One at a time: on a connection that lives, each is answered, however late. */
  #ping(): void {
    if (this.#lane !== 'control' || !this.#agreement.ping || this.#pingSentMs !== undefined) return;
    this.#unpingedSweeps = 0;
    this.#pingSentMs = performance.now();
    this.send({ kind: 'PING', body: { sequence: ++this.#pingSequence } });
    this.flush();
  }

  #acknowledged(sequence: number): void {
    if (this.#pingSentMs === undefined || sequence !== this.#pingSequence) return;
    this.#context.roundTrips.observe(this.#peerId, performance.now() - this.#pingSentMs);
    this.#pingSentMs = undefined;
  }

  #agree(hello: HelloBody): void {
    this.#peerId = hello.nodeId;
    this.#agreement = agreementOf(this.#context.features, hello);
    const { compression } = this.#agreement;
    if (compression === undefined) return;
    this.#reader.takeCompressed();
    this.#queue.packWith(new Packer(compression));
  }

  #enter(state: 'greeting' | 'open' | 'closing'): void {
    this.#state = state;
    this.#stateSweeps = 0;
  }

  #usable(): void {
    if (this.#state !== 'connecting') return;
    this.#counted = true;
    this.#context.metrics.connectionOpened();
    this.#enter('greeting');
    const proof = this.#context.transport.proofOf(this.#socket);
    if (proof.kind === 'refused') {
      this.refuse(proof.reason, proof.detail);
      return;
    }
    if (proof.kind === 'identity') {
      this.#identity = proof.identity;
      this.#context.transport.watch(this.#socket, (reason, detail) => {
        this.#distrust(reason, detail);
      });
    }
    this.flush();
  }

  #distrust(reason: CertificateRefusal, detail: object): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#context.metrics.tcpError(reason);
    this.#context.log.warn({ address: this.address, reason, ...detail }, 'connection closed: no longer trusted');
    this.goAway(reason);
  }

  #closed(): void {
    this.#finish(this.#reason);
    this.#state = 'closed';
  }

  #finish(reason: string): void {
    const owner = this.owner;
    this.owner = NOBODY;
    this.#held = undefined;
    owner.closed(this, reason);
  }

  #fail(errorType: TcpErrorType, reason: string): void {
    this.#context.metrics.tcpError(errorType);
    this.destroy(reason);
  }

  #socketFailed(error: Error): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    const connecting = this.#state === 'connecting';
    const code = (error as NodeJS.ErrnoException).code ?? error.message;
    this.#context.metrics.tcpError(connecting ? 'connect_failed' : 'socket_error');
    this.#reason = `${connecting ? 'connect_failed' : 'socket_error'}: ${code}`;
  }

  #sent(byteCount: number): void {
    if (byteCount === 0) return;
    this.#quietSweeps = 0;
    this.#context.metrics.bytesSent(byteCount);
  }

  /** The kernel has taken what was written: what is left goes on in the next turn. */
  #written(): void {
    if (this.unsentBytes > 0) {
      this.#context.flushQueue.add(this);
      return;
    }
    const drained = this.#onDrained;
    this.#onDrained = undefined;
    if (drained === undefined || this.#state === 'closed') return;
    this.#gate.release('answers_unread');
    drained();
  }

  #receive(chunk: Uint8Array): void {
    this.#context.metrics.bytesReceived(chunk.length);
    this.#gate.took(chunk.length);
    this.#silentSweeps = 0;
    if (this.#state === 'closing' || this.#state === 'closed') return;
    try {
      this.#reader.push(chunk, (frame) => {
        this.#onFrame(frame);
      });
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#violated(error.reason, error.message);
    }
  }

  #violated(errorType: TcpErrorType, detail: string): void {
    this.#context.metrics.tcpError(errorType);
    this.#context.log.warn({ address: this.address, reason: detail }, 'connection closed: protocol violated');
    this.goAway(errorType);
  }

  #onFrame(packedFrame: Frame): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    const frame = this.#unpacked(packedFrame);
    const message = this.#decode(frame);
    if (message === undefined) {
      if (this.#state === 'open' && isCall(frame)) this.#refuse(frame);
      return;
    }
    if (message.kind === 'GOAWAY') {
      const reason = message.body.reason.slice(0, REASON_CHARS_MAX);
      // Nothing mends this but a person.
      const level = reason.startsWith('id_in_use') ? 'warn' : 'info';
      this.#context.log[level]({ address: this.address, reason }, 'peer closes the connection');
      this.owner.goAway(this, reason);
    } else if (message.kind === 'HELLO') {
      if (this.#state === 'open') this.#violated('protocol_error', 'a second HELLO');
      else {
        this.#enter('open');
        this.#reader.payloadBytesMax = FRAME_PAYLOAD_BYTES_MAX;
        this.#agree(message.body);
        this.owner.hello(this, message.body);
      }
    } else if (this.#state !== 'open') this.#violated('protocol_error', `${message.kind} before HELLO`);
    else if (message.kind === 'KEEPALIVE') return;
    else if (message.kind === 'PING' && message.body.from === undefined) {
      this.send({ kind: 'ACK', body: { sequence: message.body.sequence } });
    } else if (message.kind === 'ACK' && message.body.from === undefined) this.#acknowledged(message.body.sequence);
    else if (this.#held !== undefined) this.#held.push({ message, frame });
    else this.owner.message(this, message, frame);
  }

  #deliver(message: Message, frame: Frame): void {
    if (this.#state === 'open') this.owner.message(this, message, frame);
  }

  /** Whoever asks what can't be read is told so, and has its credit back. */
  #refuse({ messageId }: Frame): void {
    const body = { code: 'INVALID_REQUEST', message: 'the call is malformed, or of a later version', fields: [] };
    this.send({ kind: 'RPC_ERROR', body }, { flags: FRAME_FLAGS.response | FRAME_FLAGS.error, messageId });
  }

  #unpacked(frame: Frame): Frame {
    const { compression } = this.#agreement;
    if ((frame.flags & FRAME_FLAGS.compressed) === 0 || compression === undefined) return frame;
    return { ...frame, payload: unpack(compression, frame.payload) };
  }

  /** Undefined for a frame that is skipped: its type is of a later version, or its body does not fit its type. */
  #decode(frame: Frame): Message | undefined {
    try {
      const message = decodeMessage(this.#context.host, frame.typeCode, frame.payload);
      if (message === undefined) this.#context.metrics.tcpError('unknown_message');
      return message;
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      const kind = kindOfCode(frame.typeCode);
      assert(kind !== undefined, 'only a known type has a body to be malformed');
      this.#context.metrics.rpcError(kind, 'malformed');
      if (!this.#warned)
        this.#context.log.warn({ address: this.address, kind, reason: error.message }, 'malformed message skipped');
      this.#warned = true;
      return undefined;
    }
  }
}

/** True for a frame that waits for an answer. */
export function isCall({ flags }: Frame): boolean {
  return (flags & (FRAME_FLAGS.oneWay | FRAME_FLAGS.response)) === 0;
}

const NOBODY: ConnectionOwner = {
  hello: () => undefined,
  message: () => undefined,
  goAway: () => undefined,
  closed: () => undefined,
};
