import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Address } from '../../../base/address.ts';

/** Where sockets come from; a TLS transport has the same shape. */
export interface Transport {
  /** Starts to connect; the name is looked up now, so a pod that moved is found. Emits `readyEvent` once usable. */
  connect(address: Address): Socket;
  createServer(onSocket: (socket: Socket) => void): Server;
  readonly readyEvent: 'connect' | 'secureConnect';
}

const KEEP_ALIVE_PROBE_MS = 10_000;

export const tcpTransport: Transport = {
  connect: ({ host, port }) =>
    connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS }),
  createServer: (onSocket) =>
    createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS }, onSocket),
  readyEvent: 'connect',
};
