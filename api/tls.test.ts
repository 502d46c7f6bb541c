import { describe, expect, it } from '@jest/globals';
import { DistricError } from '../base/errors.ts';
import { loadConfig, type NodeConfig } from './config.ts';
import { httpTls, tlsFiles } from './tls.ts';

const coordinators = [{ id: 'c1', address: '127.0.0.1:7401' }];
const coordinator = { nodeId: 'c1', role: 'coordinator', coordinators, auth: { mode: 'required' } };
const worker = { nodeId: 'w1', role: 'worker', coordinators };

function load(file: object): NodeConfig {
  return loadConfig({ file, env: {}, flags: {} });
}

function faultOf(file: object): string {
  try {
    load(file);
  } catch (error) {
    if (error instanceof DistricError) return error.fields.map(({ field, reason }) => `${field}: ${reason}`).join('\n');
  }
  return 'none';
}

describe('the tls settings', () => {
  it('are off by default, with files below the data directory', () => {
    const config = load({ ...coordinator, dataDir: '/data' });
    expect(config.tls.mode).toBe('disabled');
    expect(tlsFiles(config)).toEqual({
      certificateFile: '/data/tls/node.crt',
      keyFile: '/data/tls/node.key',
      caFile: '/data/tls/ca.crt',
    });
    expect(tlsFiles(load({ ...coordinator, tls: { keyFile: '/k' } })).keyFile).toBe('/k');
  });

  it.each([
    ['disabled', 'auto', 'disabled'],
    ['required', 'auto', 'server'],
    ['required', 'disabled', 'disabled'],
    ['required', 'mutual', 'mutual'],
  ])('with mode %s and http.tls %s make REST %s', (mode, tls, wanted) => {
    expect(httpTls(load({ ...coordinator, tls: { mode }, http: { tls } }))).toBe(wanted);
  });

  it.each([
    ['HTTPS without a certificate', { ...coordinator, http: { tls: 'server' } }, 'http.tls: server takes'],
    ['a token without certificates', { ...worker, tls: { join: { token: 'x' } } }, 'set tls.mode: required'],
    [
      'a token without an address',
      { ...worker, tls: { mode: 'required', join: { token: 'x', address: 'nowhere' } } },
      'tls.join.address: must be the "host:port"',
    ],
    [
      'half of what signing needs',
      { ...coordinator, tls: { mode: 'required', caKeyFile: 'k' } },
      'tls.joinSecretFile: is missing',
    ],
    ['the other half', { ...coordinator, tls: { mode: 'required', joinSecretFile: 's' } }, 'tls.caKeyFile: is missing'],
    [
      'a worker that signs',
      { ...worker, tls: { mode: 'required', caKeyFile: 'k', joinSecretFile: 's' } },
      'a worker signs nothing',
    ],
    [
      'joining where everybody needs a certificate',
      { ...coordinator, http: { tls: 'mutual' }, tls: { mode: 'required', caKeyFile: 'k', joinSecretFile: 's' } },
      'http.tls: must be server where nodes join, not mutual',
    ],
  ])('refuse %s', (_, file, words) => {
    expect(faultOf(file)).toContain(words);
  });

  it('let a node listen beyond loopback, each port with TLS of its own', () => {
    const open = { host: '0.0.0.0' };
    const file = { ...coordinator, peer: open, http: open, metrics: open, tls: { mode: 'required' } };
    expect(faultOf(file)).toBe('none');
    expect(faultOf({ ...file, http: { ...open, tls: 'disabled' } })).toContain('http.host: without TLS (http.tls)');
    expect(faultOf({ ...file, http: { tls: 'disabled' } })).toBe('none');
    expect(faultOf({ ...file, tls: {} })).toContain('peer.host: without TLS (tls.mode)');
    expect(faultOf({ ...file, auth: {} })).toContain('auth.mode: required');
  });
});
