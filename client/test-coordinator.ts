/** For tests: a coordinator as its clients see it, on loopback, that keeps messages in memory by id or idempotency key. */
import { formatAddress } from '../base/address.ts';
import { DistricError } from '../base/errors.ts';
import { errorBody } from '../node/core/rpc/error-body.ts';
import type { Body } from '../node/core/tlv/messages.ts';
import { nodeHost } from '../node/io/host.ts';
import { NO_LOG, NO_METRICS } from '../node/io/net/net-metrics.ts';
import { PeerNet } from '../node/io/net/peer-net.ts';
import type { Transport } from '../node/io/net/transport.ts';
import { RpcServer, type CallAnswer, type CallDesk, type IncomingCall } from '../node/io/net/rpc-server.ts';

/** What all coordinators of a test share. */
export class TestState {
  /** By idempotency key, else by message id. */
  readonly byKey = new Map<string, { messageId: string; payload: string }>();
  leaderId = 'c1';
  readonly addresses = new Map<string, string>();
  readonly coordinators: TestCoordinator[] = [];

  lead(id: string): void {
    this.leaderId = id;
    for (const coordinator of this.coordinators) coordinator.tellView();
  }
}

export class TestCoordinator implements CallDesk<null> {
  readonly id: string;
  readonly calls: IncomingCall[] = [];
  /** Of each admitted client. */
  readonly hellos: Body<'HELLO'>[] = [];
  refusal: DistricError | undefined;
  onCall: (call: IncomingCall) => void = (call) => call.done(this.keep(call));
  readonly #state: TestState;
  readonly #transport: Transport | undefined;
  #net: PeerNet | undefined;
  #server: RpcServer<null> | undefined;
  #port = 0;

  constructor(id: string, state: TestState, transport?: Transport) {
    this.id = id;
    this.#transport = transport;
    this.#state = state;
    state.coordinators.push(this);
  }

  get address(): string {
    return this.#state.addresses.get(this.id) ?? '';
  }

  /** On the port of before, when there was one. */
  async start(): Promise<this> {
    const server = new RpcServer<null>({
      host: nodeHost,
      desk: this,
      metrics: NO_METRICS,
      log: NO_LOG,
      greeting: () => ({ kind: 'CLUSTER_VIEW', body: this.#view() }),
    });
    this.#server = server;
    this.#net = new PeerNet({
      self: { nodeId: this.id, role: 'coordinator', clusterName: 'test' },
      host: nodeHost,
      listen: { host: '127.0.0.1', port: this.#port },
      onMessage: () => undefined,
      onPeerUp: () => undefined,
      onPeerDown: () => undefined,
      metrics: NO_METRICS,
      log: NO_LOG,
      ...(this.#transport === undefined ? {} : { transport: this.#transport }),
      clients: server,
    });
    const { host, port } = await this.#net.listen();
    this.#port = port;
    this.#state.addresses.set(this.id, formatAddress(host, port));
    return this;
  }

  async stop(): Promise<void> {
    await this.#server?.drain();
    await this.#net?.close();
  }

  /** Without answers to what is under way. */
  async crash(): Promise<void> {
    await this.#net?.close();
  }

  tellView(): void {
    this.#server?.broadcast({ kind: 'CLUSTER_VIEW', body: this.#view() });
  }

  open(hello: Body<'HELLO'>): { session: null } | { error: DistricError } {
    if (this.refusal !== undefined) return { error: this.refusal };
    this.hellos.push(hello);
    return { session: null };
  }

  call(_session: null, call: IncomingCall): void {
    this.calls.push(call);
    this.onCall(call);
  }

  closed(): void {
    // Kept: tests look at who came.
  }

  /** Accepts every message, once per key, and answers queries with themselves. */
  keep({ message }: IncomingCall): CallAnswer {
    if (message.kind === 'CLIENT_QUERY' || message.kind === 'CLIENT_ADMIN') {
      const text = message.kind === 'CLIENT_QUERY' ? message.body.query : message.body.command;
      return { message: { kind: 'CLIENT_RESULT', body: { result: Buffer.from(text) } } };
    }
    if (message.kind !== 'CLIENT_MESSAGE') return { error: new DistricError('INVALID_REQUEST', message.kind) };
    const duplicates: number[] = [];
    const messageIds = message.body.items.map(({ payload, idempotencyKey, messageId = '' }, index) => {
      const known = this.#state.byKey.get(idempotencyKey ?? messageId);
      if (known !== undefined && idempotencyKey !== undefined) duplicates.push(index);
      const kept = known ?? { messageId, payload: Buffer.from(payload).toString() };
      this.#state.byKey.set(idempotencyKey ?? messageId, kept);
      return kept.messageId;
    });
    return { message: { kind: 'CLIENT_RESPONSE', body: { messageIds, started: [], duplicates, refused: [] } } };
  }

  /** As `keep`, but the items at these indexes are refused. */
  refuseAt(call: IncomingCall, indexes: readonly number[], error: DistricError): CallAnswer {
    const answer = this.keep(call);
    if ('error' in answer || answer.message.kind !== 'CLIENT_RESPONSE') return answer;
    const { body } = answer.message;
    const messageIds = body.messageIds.map((id, index) => (indexes.includes(index) ? '' : id));
    const refused = indexes.map((index) => ({ index, error: errorBody(error) }));
    return { message: { kind: 'CLIENT_RESPONSE', body: { ...body, messageIds, refused } } };
  }

  #view(): Body<'CLUSTER_VIEW'> {
    const coordinators = [...this.#state.addresses].map(([id, address]) => ({ id, address }));
    return { leaderId: this.#state.leaderId, coordinators };
  }
}
