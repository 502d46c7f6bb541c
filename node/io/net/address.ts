import { DistricError } from '../../../base/errors.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `1.2.3.4:port` or `[::1]:port`. Throws DistricError INVALID_REQUEST. */
export function parseAddress(text: string): Address {
  const colon = text.lastIndexOf(':');
  const digits = text.slice(colon + 1);
  const port = Number(digits);
  const bracketed = text.startsWith('[') && text[colon - 1] === ']';
  const host = bracketed ? text.slice(1, colon - 1) : text.slice(0, Math.max(colon, 0));
  const hostFits = bracketed ? host.includes(':') : !/[:[\]\s/@]/.test(host);
  if (host === '' || host.length > 253 || !hostFits || !/^\d{1,5}$/.test(digits) || port < 1 || port > 65_535) {
    throw new DistricError('INVALID_REQUEST', `"${text}" is no address: expected host:port or [IPv6]:port`);
  }
  return { host, port };
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
