import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Identity } from '../../../api/identity.ts';
import { formatAddress, type Address } from '../../../base/address.ts';

/** Why the certificate of the other end is refused; travels in GOAWAY, and is counted and logged under this name. */
export type CertificateRefusal =
  | 'certificate_missing'
  | 'certificate_untrusted'
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  | 'certificate_invalid'
  | 'certificate_of_another_cluster'
  | 'certificate_of_another_role';

/** What the other end has proved before it says a word; `open` where nobody proves anything. */
export type Proof =
  | { readonly kind: 'open' }
  | { readonly kind: 'identity'; readonly identity: Identity }
  | { readonly kind: 'refused'; readonly reason: CertificateRefusal; readonly detail: object };

/** Where sockets come from. */
export interface Transport {
  /** Starts to connect; the name is looked up now, so a pod that moved is found. Emits `readyEvent` once usable. */
  connect(address: Address): Socket;
  /** `onSocket` gets sockets that are usable at once; `onFailure` where what failed before came from, and why. */
  createServer(onSocket: (socket: Socket) => void, onFailure: (address: string, reason: string) => void): Server;
  readonly readyEvent: 'connect' | 'secureConnect';
  /** Ends what was accepted and is not usable yet: only then can the server close. */
  abandon(): void;
  /** Asked once the socket is usable. Nothing is read from or written to it before. */
  proofOf(socket: Socket): Proof;
  /** Calls `end` when what `proofOf` found proved is so no longer; never, where nobody looks. */
  watch(socket: Socket, end: (reason: CertificateRefusal, detail: object) => void): void;
}

/** Of the other end, as far as the system still knows it. */
export function addressOf({ remoteAddress, remotePort }: Socket): string {
  return remoteAddress === undefined || remotePort === undefined ? 'unknown' : formatAddress(remoteAddress, remotePort);
}

export const KEEP_ALIVE_PROBE_MS = 10_000;

export const tcpTransport: Transport = {
  connect: ({ host, port }) =>
    connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS }),
  createServer: (onSocket) =>
    createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS }, onSocket),
  readyEvent: 'connect',
  abandon: () => undefined,
  proofOf: () => ({ kind: 'open' }),
  watch: () => undefined,
};
