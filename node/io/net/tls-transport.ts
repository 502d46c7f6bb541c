/**
 * Mutual TLS 1.3 between nodes.
 *
 * 1. Both ends show a certificate of the cluster's authorities. Names and addresses in it count for nothing here: who
 *    the other end is stands in its identity (api/identity.ts), which HELLO is compared with.
 * 2. The handshake is let through and its result looked at here, on both ends alike, before a byte is read or written:
 *    so a refusal can be told to the other end, and be exact in the log.
 * 3. Only coordinators are dialed, so only a coordinator's certificate will do there: keys are told to no other.
 * 4. No session is ever resumed: a resumed one would carry the trust of an earlier moment.
 * 5. New certificates count for new connections. Those that are there go on for as long as `TrustWatch`, where there is
 *    one, finds that of the other end good.
 */
import { constants } from 'node:crypto';
import type { Server, Socket } from 'node:net';
import { connect, createServer, TLSSocket, type SecureContextOptions, type Server as TlsServer } from 'node:tls';
import { identityOf } from '../../../api/identity.ts';
import { assert } from '../../../base/assert.ts';
import type { Address } from '../../../base/address.ts';
import { addressOf, KEEP_ALIVE_PROBE_MS, type CertificateRefusal, type Proof, type Transport } from './transport.ts';

/** All PEM: the node's certificate (with its chain), its key, and the authorities that it trusts. */
export interface TlsMaterial {
  readonly certificate: string;
  readonly key: string;
  readonly authorities: string;
}

/** Follows what others have proved; see node/io/tls/peer-trust.ts. */
export interface TrustWatch {
  watch(socket: TLSSocket, end: (reason: CertificateRefusal, detail: object) => void): void;
}

/** A server that does not finish its part of the handshake by then is cut off. */
const HANDSHAKE_MS_MAX = 5_000;

/** What OpenSSL says of a certificate (X509_verify_cert_error_string), in the words of this protocol. */
const REFUSALS: Readonly<Record<string, CertificateRefusal>> = {
  CERT_HAS_EXPIRED: 'certificate_expired',
  CERT_NOT_YET_VALID: 'certificate_not_yet_valid',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'certificate_untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'certificate_untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'certificate_untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'certificate_untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'certificate_untrusted',
  CERT_SIGNATURE_FAILURE: 'certificate_untrusted',
  CERT_UNTRUSTED: 'certificate_untrusted',
};

export class TlsTransport implements Transport {
  readonly readyEvent = 'secureConnect';
  readonly #clusterName: string;
  readonly #trust: TrustWatch | undefined;
  #options: SecureContextOptions;
  #server: TlsServer | undefined;
  readonly #dialed = new WeakSet<Socket>();
  /** TCP connections on which the handshake is not over, by the address of the other end. */
  readonly #shaking = new Map<string, Socket>();

  constructor(clusterName: string, material: TlsMaterial, trust?: TrustWatch) {
    this.#clusterName = clusterName;
    this.#trust = trust;
    this.#options = contextOptions(material);
  }

  /** For the connections made from now on. */
  replace(material: TlsMaterial): void {
    this.#options = contextOptions(material);
    this.#server?.setSecureContext(this.#options);
  }

  connect({ host, port }: Address): Socket {
    const socket = connect({
      ...this.#options,
      host,
      port,
      // Both are decided in proofOf(), see the head of this file.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    this.#dialed.add(socket);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
    return socket;
  }

  createServer(onSocket: (socket: Socket) => void, onFailure: (address: string, reason: string) => void): Server {
    const server = createServer(
      {
        ...this.#options,
        requestCert: true,
        rejectUnauthorized: false,
        handshakeTimeout: HANDSHAKE_MS_MAX,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
      },
      (socket) => {
        this.#shaking.delete(addressOf(socket));
        onSocket(socket);
      },
    );
    server.on('connection', (socket: Socket) => {
      const address = addressOf(socket);
      this.#shaking.set(address, socket);
      socket.once('close', () => this.#shaking.delete(address));
    });
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      onFailure(addressOf(socket), error.code ?? error.message);
      socket.destroy();
    });
    this.#server = server;
    return server;
  }

  abandon(): void {
    for (const socket of this.#shaking.values()) socket.destroy();
  }

  watch(socket: Socket, end: (reason: CertificateRefusal, detail: object) => void): void {
    if (socket instanceof TLSSocket) this.#trust?.watch(socket, end);
  }

  proofOf(socket: Socket): Proof {
    assert(socket instanceof TLSSocket, 'a TLS transport gives out TLS sockets only');
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return { kind: 'refused', reason: 'certificate_missing', detail: {} };
    const { subject, issuer, validTo, fingerprint256, subjectAltName = '' } = certificate;
    const shown = { subject: oneLine(subject), issuer: oneLine(issuer), validTo, fingerprint256, subjectAltName };
    const refused = (reason: CertificateRefusal, fault: string): Proof => ({
      kind: 'refused',
      reason,
      detail: { fault, certificate: shown },
    });
    if (socket.isSessionReused()) return refused('certificate_invalid', 'the session was resumed');
    if (!socket.authorized) {
      const fault = faultOf(socket.authorizationError);
      return refused(REFUSALS[fault] ?? 'certificate_invalid', fault);
    }
    const identity = identityOf(subjectAltName);
    if (identity === undefined) return refused('certificate_invalid', 'it carries not exactly one distric:// identity');
    if (identity.clusterName !== this.#clusterName) {
      return refused('certificate_of_another_cluster', `it is of the cluster "${identity.clusterName}"`);
    }
    if (this.#dialed.has(socket) && identity.role !== 'coordinator') {
      return refused('certificate_of_another_role', `it is that of a ${identity.role}, not of a coordinator`);
    }
    return { kind: 'identity', identity };
  }
}

function contextOptions({ certificate, key, authorities }: TlsMaterial): SecureContextOptions {
  return {
    cert: certificate,
    key,
    ca: authorities,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Declared as an Error, and a text in fact. */
function faultOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}
