import { lookup as resolveName, type LookupAddress, type LookupOptions } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { TerminalError } from '../sdk.ts';

/** IPv4 that is not the public internet (RFC 6890 and its registry), and one cloud's metadata address that looks public. */
const REFUSED_IPV4: readonly (readonly [net: string, prefix: number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['168.63.129.16', 32],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
];
/** Inside 2000::/3, the only public IPv6 there is: tunnels that could carry a private IPv4 address, and documentation. */
const REFUSED_IPV6: readonly (readonly [net: string, prefix: number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const refused = new BlockList();
for (const [net, prefix] of REFUSED_IPV4) refused.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of REFUSED_IPV6) refused.addSubnet(net, prefix, 'ipv6');
const publicIpv6 = new BlockList();
publicIpv6.addSubnet('2000::', 3, 'ipv6');

/** Whether `address` (a literal, without brackets) is on the public internet: not private, loopback, link-local, metadata or reserved. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !refused.check(address, 'ipv4');
  return family === 6 && publicIpv6.check(address, 'ipv6') && !refused.check(address, 'ipv6');
}

/** Decides which addresses a plugin may dial; `allow` lists exceptions as `host[:port]`, comma-separated (IPv6 in brackets). */
export class NetworkGuard {
  readonly #allow: ReadonlySet<string>;

  constructor(allow: string) {
    this.#allow = new Set(
      allow
        .split(',')
        .map((entry) => entry.trim().toLowerCase())
        .filter((entry) => entry !== ''),
    );
  }

  /** Throws a `TerminalError` when the URL's host is an address literal that may not be dialled. */
  checkLiteral(url: URL): void {
    const address = url.hostname.replace(/^\[|\]$/g, '');
    if (isIP(address) !== 0 && !this.#permits(url, address)) throw refusal(url, [address]);
  }

  /**
   * For the socket: resolves the name and hands on only addresses that may be dialled, so the check is of the
   * very address that is dialled (a name that resolves differently the second time gains nothing).
   */
  lookupFor(url: URL): LookupFunction {
    return (hostname, options, callback) => {
      const all: LookupOptions & { all: true } = { ...options, all: true };
      resolveName(hostname, all, (error, found) => {
        const permitted = error === null ? found.filter(({ address }) => this.#permits(url, address)) : [];
        const [first] = permitted;
        if (first === undefined) callback(error ?? refusal(url, addressesOf(found)), []);
        else if (options.all === true) callback(null, permitted);
        else callback(null, first.address, first.family);
      });
    };
  }

  #permits(url: URL, address: string): boolean {
    if (isPublicAddress(address)) return true;
    const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
    const literal = isIP(address) === 6 ? `[${address}]` : address;
    const names = [url.hostname.toLowerCase(), literal.toLowerCase()];
    return names.some((name) => this.#allow.has(name) || this.#allow.has(`${name}:${port}`));
  }
}

function addressesOf(found: readonly LookupAddress[]): string[] {
  return found.map(({ address }) => address);
}

function refusal(url: URL, addresses: readonly string[]): TerminalError {
  return new TerminalError(
    `refused to dial ${url.host} (${addresses.join(', ')}): not a public address; list ${url.host} in DISTRIC_HTTP_ALLOW of the worker to permit it`,
  );
}
