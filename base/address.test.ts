import { isIPv4, isIPv6 } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatAddress, isHostName, isIpv4, isIpv6, isLoopback, isMulticast, parseAddress } from './address.ts';
import { DistricError } from './errors.ts';

describe('parseAddress()', () => {
  it.each([
    ['node-1.peers.default.svc:7000', 'node-1.peers.default.svc', 7000],
    ['127.0.0.1:1', '127.0.0.1', 1],
    ['[::1]:65535', '::1', 65_535],
    ['[fe80::1%eth0]:7400', 'fe80::1%eth0', 7400],
    ['my_node:80', 'my_node', 80],
  ])('reads %s, and formatAddress() writes it back', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port });
    expect(formatAddress(host, port)).toBe(text);
  });

  it.each([
    '',
    'host',
    'host:',
    ':80',
    'host:0',
    'host:65536',
    'host:8x',
    '::1:80',
    '[host]:80',
    '[::1:80',
    '[1::2::3]:80',
    '[:]:80',
    'a b:80',
    'http://a:80',
    '256.0.0.1:80',
    '1.2.3:80',
    'a..b:80',
    '-a:80',
    `${'a'.repeat(64)}:80`,
    `${'a.'.repeat(127)}a:80`,
  ])('refuses "%s"', (text) => {
    expect(() => parseAddress(text)).toThrow(DistricError);
  });
});

describe('isIpv4() and isIpv6()', () => {
  it('say what Node says about any text of the right letters', () => {
    const group = fc.constantFrom('0', '1', 'ffff', 'abcd', '12345', 'g', '', '::', ':', '1.2.3.4', '255', '256', '01');
    fc.assert(
      fc.property(fc.array(group, { maxLength: 9 }), fc.constantFrom(':', '.', ''), (groups, separator) => {
        const text = groups.join(separator);
        expect([text, isIpv4(text), isIpv6(text)]).toEqual([text, isIPv4(text), isIPv6(text)]);
      }),
      { numRuns: 3_000 },
    );
    fc.assert(fc.property(fc.ipV6(), (text) => isIpv6(text)));
    fc.assert(fc.property(fc.ipV4(), (text) => isIpv4(text)));
  });

  it('take one zone', () => {
    expect(['fe80::1%eth0', 'fe80::1%', 'fe80::1%a%b', '%eth0'].map(isIpv6)).toEqual([true, false, false, false]);
  });
});

describe('isLoopback()', () => {
  it('knows the names and ranges of this machine', () => {
    const yes = ['localhost', '127.0.0.1', '127.9.8.7', '::1', '::ffff:127.0.0.1'];
    const no = [
      '0.0.0.0',
      '::',
      '10.0.0.1',
      '128.0.0.1',
      '127.example.org',
      'localhost.example.org',
      '::ffff:10.0.0.1',
    ];
    expect(yes.filter((host) => !isLoopback(host))).toEqual([]);
    expect(no.filter(isLoopback)).toEqual([]);
  });
});

describe('isMulticast()', () => {
  it('takes groups only', () => {
    const hosts = ['224.0.0.1', '239.255.255.255', 'FF02::1', '223.9.9.9', '240.0.0.1', '::ff02', 'ff.example.org'];
    expect(hosts.filter(isMulticast)).toEqual(hosts.slice(0, 3));
  });
});

describe('isHostName()', () => {
  it('takes a final dot', () => {
    expect(isHostName('a.example.org.')).toBe(true);
    expect(isHostName('.')).toBe(false);
  });
});
