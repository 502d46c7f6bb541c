/** Clients of the binary protocol, on the port that nodes dial: the desk joined to its network driver. */
import type { NodeConfig } from '../../api/config.ts';
import type { AccessLimits } from '../access-limits.ts';
import { ClientDesk, type ClientSession } from '../client-desk.ts';
import type { Message } from '../core/tlv/messages.ts';
import { nodeHost } from '../io/host.ts';
import type { NetLog, NetMetrics } from '../io/net/net-metrics.ts';
import type { ClientDoor } from '../io/net/peer-net.ts';
import { RpcServer } from '../io/net/rpc-server.ts';
import type { Identified } from '../key-ring.ts';
import type { RefusalNotes } from '../refusal-notes.ts';
import type { Gateway } from '../requests.ts';
import { readClocks } from './turns.ts';

export interface ClientPortParts {
  config: NodeConfig;
  gateway: Gateway;
  identify: (keyText: string | undefined, wallMs: number) => Identified;
  limits: AccessLimits;
  refusals: RefusalNotes;
  authFailed: (reason: string) => void;
  metrics: NetMetrics;
  log: NetLog;
  leaderId: () => string | undefined;
  coordinators: () => { id: string; address: string }[];
}

export class ClientPort {
  readonly #parts: ClientPortParts;
  readonly #server: RpcServer<ClientSession>;
  #toldLeaderId: string | undefined;

  constructor(parts: ClientPortParts) {
    this.#parts = parts;
    const { config, gateway, identify, limits, refusals, authFailed, metrics, log } = parts;
    const desk = new ClientDesk({
      host: nodeHost,
      gateway,
      clock: readClocks,
      itemBytesMax: config.limits.itemBytesMax,
      identify: config.auth.mode === 'disabled' ? undefined : identify,
      limits,
      refusals,
      authFailed,
    });
    this.#server = new RpcServer({ host: nodeHost, desk, metrics, log, greeting: () => this.#view() });
  }

  get door(): ClientDoor {
    return this.#server;
  }

  /** Called every turn: tells the clients when there is another leader, so that they move to it. */
  turn(): void {
    const leaderId = this.#parts.leaderId();
    if (leaderId === this.#toldLeaderId) return;
    this.#toldLeaderId = leaderId;
    this.#server.broadcast(this.#view());
  }

  /** Answers what is under way and lets the clients go. */
  drain(): Promise<void> {
    return this.#server.drain();
  }

  #view(): Message {
    const coordinators = this.#parts.coordinators();
    return { kind: 'CLUSTER_VIEW', body: { leaderId: this.#parts.leaderId() ?? '', coordinators, wallMs: Date.now() } };
  }
}
