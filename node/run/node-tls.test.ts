/** What becomes of connections that are there when the authorities of a node change. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig, type NodeConfig } from '../../api/config.ts';
import type { Identity } from '../../api/identity.ts';
import { tlsFiles } from '../../api/tls.ts';
import { parseAddress } from '../../base/address.ts';
import { Authority, DAY_MS, validFor, type KeyedCertificate } from '../../pki/authority.ts';
import { encodeFrame } from '../core/tlv/frame.ts';
import { encodeMessage } from '../core/tlv/messages.ts';
import { nodeHost } from '../io/host.ts';
import { startNode, type RunningNode } from './node-process.ts';

const TIMEOUT_MS = 60_000;
const HOST = '127.0.0.1';

let dir: string;
let node: RunningNode | undefined;
const sockets: TLSSocket[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'distric-node-tls-'));
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await node?.stop('the test ends');
  rmSync(dir, { recursive: true, force: true });
});

async function issue(signedBy: KeyedCertificate, role: Identity['role'], name: string): Promise<KeyedCertificate> {
  const authority = await Authority.open(signedBy);
  return authority.issue({
    identity: { clusterName: 'distric', role, name },
    dnsNames: ['localhost'],
    ipAddresses: [HOST],
    validity: validFor(DAY_MS, Date.now()),
  });
}

/** As somebody puts new files under a node that runs. */
async function install(config: NodeConfig, signedBy: KeyedCertificate, trusted: KeyedCertificate[]): Promise<void> {
  const files = tlsFiles(config);
  const { certificate, key } = await issue(signedBy, 'coordinator', 'c1');
  mkdirSync(dirname(files.keyFile), { recursive: true });
  writeFileSync(files.certificateFile, certificate);
  writeFileSync(files.keyFile, key, { mode: 0o600 });
  writeFileSync(files.caFile, trusted.map((one) => one.certificate).join(''));
}

/** Shows the certificate of a client, says `words`, and resolves once there is an answer. */
async function client(address: string, signedBy: KeyedCertificate, words: string | Uint8Array): Promise<TLSSocket> {
  const { certificate: cert, key } = await issue(signedBy, 'client', 'shop');
  const socket = connect({ ...parseAddress(address), cert, key, rejectUnauthorized: false });
  socket.on('error', () => undefined);
  sockets.push(socket);
  await once(socket, 'secureConnect');
  socket.write(words);
  await once(socket, 'data');
  return socket.resume();
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('a node whose bundle drops an authority', () => {
  it(
    'ends the connections of clients that only that one vouches for, on both ports, and no others',
    async () => {
      const listener = { host: HOST, port: 0 };
      const port = await freePort();
      const file = {
        nodeId: 'c1',
        role: 'coordinator',
        dataDir: dir,
        coordinators: [{ id: 'c1', address: `${HOST}:${String(port)}` }],
        peer: { host: HOST, port },
        http: listener,
        metrics: listener,
        tls: { mode: 'required' },
        log: { level: 'silent' },
      };
      const config = loadConfig({ file, env: {}, flags: {} });
      const [old, next] = await Promise.all(
        [1, 2].map(() => Authority.create('distric', validFor(DAY_MS, Date.now()))),
      );
      if (old === undefined || next === undefined) throw new Error('two were made');
      await install(config, old, [old, next]);
      node = await startNode(config, 'test:1');
      const { peer = '', http = '' } = node.addresses;

      const hello = encodeMessage(nodeHost, {
        kind: 'HELLO',
        body: { nodeId: 'shop', role: 'client', clusterName: 'distric', lane: 'bulk', features: [] },
      });
      const greeting = encodeFrame(nodeHost, hello.code, 0, 1, 1, hello.payload);
      const request = 'GET /api/v1/join/authorities HTTP/1.1\r\nhost: x\r\n\r\n';
      const ending = [await client(peer, old, greeting), await client(http, old, request)];
      const staying = await client(peer, next, greeting);

      await install(config, next, [next]);
      node.reload();
      await Promise.all(ending.map((socket) => once(socket, 'close')));
      expect(staying.closed).toBe(false);
    },
    TIMEOUT_MS,
  );
});
