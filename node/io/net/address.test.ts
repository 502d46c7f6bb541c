import { describe, expect, it } from '@jest/globals';
import { DistricError } from '../../../base/errors.ts';
import { formatAddress, parseAddress } from './address.ts';

describe('address', () => {
  it.each([
    ['node-1.peers.default.svc:7000', 'node-1.peers.default.svc', 7000],
    ['127.0.0.1:1', '127.0.0.1', 1],
    ['[::1]:65535', '::1', 65_535],
  ])('reads %s and writes it back', (text, host, port) => {
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
    'a b:80',
    'http://a:80',
  ])('refuses "%s"', (text) => {
    expect(() => parseAddress(text)).toThrow(DistricError);
  });
});
