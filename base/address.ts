/** Addresses as people write them: `host:port`, IPv4, IPv6 (RFC 4291) and host names (RFC 1123), without asking DNS. */
import { DistricError } from './errors.ts';

export interface Address {
  /** An IP address without brackets, or a host name. */
  readonly host: string;
  readonly port: number;
}

const HOST_NAME_CHARS_MAX = 253;
const LABEL_CHARS_MAX = 63;
const IPV6_GROUPS = 8;
const PORT_MAX = 65_535;

/** `host:port`, `1.2.3.4:port` or `[::1]:port`, with a port from 1 to 65535. Throws DistricError INVALID_REQUEST. */
export function parseAddress(text: string): Address {
  const colon = text.lastIndexOf(':');
  const digits = text.slice(colon + 1);
  const port = Number(digits);
  const bracketed = text.startsWith('[') && text[colon - 1] === ']';
  const host = bracketed ? text.slice(1, colon - 1) : text.slice(0, Math.max(colon, 0));
  const hostFits = bracketed ? isIpv6(host) : isIpv4(host) || isHostName(host);
  if (!hostFits || !/^\d{1,5}$/.test(digits) || port < 1 || port > PORT_MAX) {
    throw new DistricError('INVALID_REQUEST', `"${text}" is no address: expected host:port or [IPv6]:port`);
  }
  return { host, port };
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Four decimal numbers up to 255, without leading zeros: some systems read those as octal. */
export function isIpv4(host: string): boolean {
  const parts = host.split('.');
  return parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

/** With `::`, an IPv4 tail or a zone (`fe80::1%eth0`) as the case may be; without brackets. */
export function isIpv6(host: string): boolean {
  const [address = '', zone, ...rest] = host.split('%');
  if (rest.length > 0 || (zone !== undefined && !/^[A-Za-z0-9._-]{1,32}$/.test(zone))) return false;
  const halves = address.split('::');
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [index, half] of halves.entries()) {
    if (half === '') continue;
    const parts = half.split(':');
    const last = parts.at(-1) ?? '';
    if (last.includes('.')) {
      if (index !== halves.length - 1 || !isIpv4(last)) return false;
      parts.pop();
      groups += 2;
    }
    if (!parts.every((part) => /^[0-9A-Fa-f]{1,4}$/.test(part))) return false;
    groups += parts.length;
  }
  return halves.length === 2 ? groups < IPV6_GROUPS : groups === IPV6_GROUPS;
}

/** RFC 1123, and `_` as Docker and DNS records use it. A name of digits and dots alone would be a broken IPv4 address. */
export function isHostName(host: string): boolean {
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  if (name === '' || name.length > HOST_NAME_CHARS_MAX || /^[\d.]+$/.test(name)) return false;
  return name
    .split('.')
    .every((label) => label.length <= LABEL_CHARS_MAX && /^[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?$/.test(label));
}

/** A group address: 224.0.0.0/4 or ff00::/8. */
export function isMulticast(host: string): boolean {
  if (isIpv4(host)) return /^2(?:2[4-9]|3\d)\./.test(host);
  return isIpv6(host) && /^ff/i.test(host);
}

/** Listening there takes what comes to any address of the machine; nobody is reached at it. */
export function isAnyAddress(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** Whether packets to `host` stay on this machine: `localhost`, 127.0.0.0/8, `::1`, also as IPv4 in IPv6. */
export function isLoopback(host: string): boolean {
  const ipv4 = host.toLowerCase().startsWith('::ffff:') ? host.slice('::ffff:'.length) : host;
  return host === 'localhost' || host === '::1' || (isIpv4(ipv4) && ipv4.startsWith('127.'));
}

/** What failures of an address are counted by: IPv6 hosts choose their own lower half, so it does not count. */
export function sourceOf(address: string): string {
  if (!isIpv6(address) || address.toLowerCase().startsWith('::ffff:')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  const missing = tail === undefined ? 0 : 8 - groups.length - tail.split(':').filter((group) => group !== '').length;
  return [...groups, ...new Array<string>(Math.max(0, missing)).fill('0'), ...(tail ?? '').split(':')].slice(0, 4).join(':'); // prettier-ignore
}
