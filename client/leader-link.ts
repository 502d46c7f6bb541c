import { DistricError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { RETRY_POLICY, retryDelayMs } from '../node/core/rpc/retry.ts';
import type { Body, Message } from '../node/core/tlv/messages.ts';
import type { CallerNet } from '../node/io/net/caller-net.ts';
import { RefusedError } from '../node/io/net/refused-error.ts';
import type { RpcClient } from '../node/io/net/rpc-client.ts';
import { TcpPool, type PoolMetrics } from '../node/io/net/tcp-pool.ts';
import { pause } from './pause.ts';

/** After these nothing changes by trying elsewhere. */
const FINAL = new Set(['UNAUTHENTICATED', 'FORBIDDEN']);
/** Connections to one coordinator: one carries the calls, one may be on its way out. */
const PER_ADDRESS_MAX = 2;

type View = Body<'CLUSTER_VIEW'>;

export interface LeaderLinkOptions {
  /** `host:port` of some coordinators; the others are told by them. */
  servers: readonly string[];
  /** Coordinators tell of others; to those that this says no of the client does not go. */
  mayDial: (address: string) => boolean;
  random: Random;
  poolMetrics?: PoolMetrics | undefined;
  /** Told when the coordinator in use changes; undefined when there is none. */
  onConnected?: ((address: string | undefined) => void) | undefined;
}

/**
 * The one connection in use: to the leader where it is known and reachable, else to any coordinator, which passes on
 * what it is given. It is made again, for ever and with growing pauses, when it is lost.
 */
export class LeaderLink {
  readonly #options: LeaderLinkOptions;
  readonly #pool: TcpPool<RpcClient>;
  readonly #closing = new AbortController();
  #view: View = { leaderId: '', coordinators: [] };
  #current: { client: RpcClient; address: string } | undefined;
  #connecting: Promise<RpcClient> | undefined;
  #moving = false;
  #failure: DistricError | undefined;
  #clockOffsetMs = 0;

  constructor(net: CallerNet, options: LeaderLinkOptions) {
    this.#options = options;
    this.#pool = new TcpPool({
      open: async (address) => {
        const client = net.dial(address, {
          told: (_, message) => this.#told(message),
          closed: (closed) => this.#lost(closed),
        });
        await client.opened;
        return client;
      },
      limits: { perAddressMax: PER_ADDRESS_MAX },
      ...(options.poolMetrics === undefined ? {} : { metrics: options.poolMetrics }),
    });
  }

  /** Where the calls go now. */
  get address(): string | undefined {
    return this.#current?.address;
  }

  /** The clock of the coordinators, about: a client may run on a machine whose own is wrong. */
  get wallMs(): number {
    return Date.now() + this.#clockOffsetMs;
  }

  /** Why the last try to connect failed. */
  get failure(): DistricError | undefined {
    return this.#failure;
  }

  /** Goes on over a new connection; what is under way on the one before is answered there. */
  renew(): void {
    this.#current?.client.drain('renewed');
    this.#drop();
  }

  /** Undefined while there is none. */
  get usable(): RpcClient | undefined {
    const client = this.#current?.client;
    return client?.usable === true ? client : undefined;
  }

  /**
   * Resolves with a usable connection, however long that takes. Rejects when a key is refused, when all coordinators and
   * this client refuse each other's certificates, and when closed.
   */
  connect(): Promise<RpcClient> {
    const { usable } = this;
    if (usable !== undefined) return Promise.resolve(usable);
    this.#connecting ??= this.#connectAny().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  close(): void {
    this.#closing.abort(new DistricError('SHUTTING_DOWN', 'the client is closed'));
    this.#drop();
    this.#pool.close();
  }

  async #connectAny(): Promise<RpcClient> {
    const { signal } = this.#closing;
    for (let round = 0; ; round++) {
      const candidates = this.#candidates();
      let refusals = 0;
      for (const address of candidates) {
        signal.throwIfAborted();
        try {
          return this.#use(await this.#pool.acquire(address, signal), address);
        } catch (error) {
          if (!(error instanceof DistricError) || signal.aborted) throw error;
          this.#failure = error;
          // One coordinator may have an expired certificate, and the next a good one.
          if (error instanceof RefusedError && ++refusals < candidates.length) continue;
          if (FINAL.has(error.code)) throw error;
        }
      }
      await pause(retryDelayMs(RETRY_POLICY, round, this.#options.random), signal);
    }
  }

  /** The leader first, then the others in random order, so that clients spread. */
  #candidates(): string[] {
    const { random, servers, mayDial } = this.#options;
    const told = this.#view.coordinators.map(({ address }) => address);
    const others = new Set([...told.filter(mayDial), ...servers]);
    const leader = this.#leaderAddress();
    if (leader !== undefined) others.delete(leader);
    const shuffled = [...others];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = random.integer(0, i);
      [shuffled[i], shuffled[j]] = [shuffled[j] ?? '', shuffled[i] ?? ''];
    }
    return leader === undefined ? shuffled : [leader, ...shuffled];
  }

  #leaderAddress(): string | undefined {
    const address = this.#view.coordinators.find(({ id }) => id === this.#view.leaderId)?.address;
    return address !== undefined && this.#options.mayDial(address) ? address : undefined;
  }

  #use(client: RpcClient, address: string): RpcClient {
    this.#drop();
    this.#current = { client, address };
    this.#options.onConnected?.(address);
    this.#moveToLeader();
    return client;
  }

  /** Gives the connection back to the pool: calls under way on it are still answered. */
  #drop(): void {
    if (this.#current !== undefined) this.#pool.release(this.#current.client);
    this.#current = undefined;
  }

  #lost(client: RpcClient): void {
    if (this.#current?.client !== client) return;
    this.#drop();
    this.#options.onConnected?.(undefined);
  }

  #told(message: Message): void {
    if (message.kind !== 'CLUSTER_VIEW') return;
    // A coordinator that has lost sight of the leader still knows where the others are.
    this.#view = message.body;
    if (message.body.wallMs !== undefined) this.#clockOffsetMs = message.body.wallMs - Date.now();
    this.#moveToLeader();
  }

  /** In the background: what is here works too. */
  #moveToLeader(): void {
    const leader = this.#leaderAddress();
    if (this.#moving || leader === undefined || this.#current === undefined || this.#current.address === leader) return;
    this.#moving = true;
    this.#pool
      .acquire(leader, this.#closing.signal)
      .then(
        (client) => {
          if (this.#closing.signal.aborted) this.#pool.release(client);
          else this.#use(client, leader);
        },
        // It may be reachable for its fellows and not from here.
        () => undefined,
      )
      .finally(() => (this.#moving = false));
  }
}
