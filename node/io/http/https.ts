/** HTTPS for the REST server: TLS 1.3, certificates that can be replaced while it runs. */
import { constants } from 'node:crypto';
import type { RequestListener, Server } from 'node:http';
import { createServer, type Server as HttpsServer, type ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** All PEM: certificate with its chain, key, and the authorities that client certificates are checked against. */
export interface HttpsMaterial {
  readonly certificate: string;
  readonly key: string;
  readonly authorities: string;
}

export interface HttpsOptions {
  material: HttpsMaterial;
  /** `required`: who shows no good certificate gets no connection. `asked`: shows one who wants to. */
  clientCertificates: 'asked' | 'required';
  /** Follows the certificates of clients that were good in the handshake, and ends their connections when they are not. */
  trust?: { watch(socket: TLSSocket, end: () => void): void };
}

const HANDSHAKE_MS_MAX = 10_000;

export class HttpsPort {
  readonly #options: HttpsOptions;
  readonly #generations = new WeakMap<Socket, number>();
  #server: HttpsServer | undefined;
  #generation = 0;

  constructor(options: HttpsOptions) {
    this.#options = options;
  }

  /** As http.Server: https.Server has all of it, and more. */
  createServer(options: ServerOptions, listener: RequestListener): Server {
    const { material, clientCertificates, trust } = this.#options;
    const server = createServer(
      {
        ...options,
        ...contextOptions(material),
        requestCert: true,
        rejectUnauthorized: clientCertificates === 'required',
        handshakeTimeout: HANDSHAKE_MS_MAX,
      },
      listener,
    );
    server.on('secureConnection', (socket) => {
      this.#generations.set(socket, this.#generation);
      if (socket.authorized) trust?.watch(socket, () => socket.destroy());
    });
    this.#server = server;
    return server;
  }

  /** For connections made from now on; those that are there end with their next answer, see `isOutdated`. */
  replace(material: HttpsMaterial): void {
    this.#generation++;
    this.#server?.setSecureContext(contextOptions(material));
  }

  /** True when the certificates have changed since the connection was made. */
  isOutdated(socket: Socket): boolean {
    return this.#generations.get(socket) !== this.#generation;
  }
}

function contextOptions({ certificate, key, authorities }: HttpsMaterial) {
  return {
    cert: certificate,
    key,
    ca: authorities,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    // A resumed session would carry the client certificate of an earlier moment.
    secureOptions: constants.SSL_OP_NO_TICKET,
  } as const;
}

/** A fault below HTTP, on a connection on which nothing can be answered. */
export function isTlsFault(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO';
}
