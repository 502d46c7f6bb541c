import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { identityOf, type Identity } from '../../../api/identity.ts';

/** Whose certificate the other end has shown, once the TLS layer has found it signed by a trusted authority. */
export function peerIdentity(socket: Socket): Identity | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  return identityOf(socket.getPeerX509Certificate()?.subjectAltName ?? '');
}
