import { mkdir, readFile, rename } from 'node:fs/promises';
import { createServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import path from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CommandRoom } from './command-room.ts';
import type { CommandResult } from './command-room.ts';
import { EXIT } from './exit-code.ts';

let room: CommandRoom;

beforeEach(async () => {
  room = await CommandRoom.open();
  expect(await pki('init', '--cluster', 'prod')).toMatchObject({ exitCode: EXIT.OK });
});

afterEach(() => room.close());

function pki(...argv: string[]): Promise<CommandResult> {
  return room.distric(['pki', ...argv]);
}

interface Shown {
  cluster: string;
  authorities: { signs: boolean; sha256: string }[];
  issued: { identity: string; names: string; folder: string; valid_until: string }[];
}

async function shown(): Promise<Shown> {
  return JSON.parse((await pki('show', '-o', 'json')).out) as Shown;
}

function read(file: string): Promise<string> {
  return readFile(path.join(room.cwd, file), 'utf8');
}

describe('distric pki', () => {
  it('makes an authority once', async () => {
    expect(await read('pki/ca.crt')).toContain('BEGIN CERTIFICATE');
    const again = await pki('init', '--cluster', 'prod');
    expect(again.exitCode).toBe(EXIT.FAILURE);
    expect(again.err).toContain('already');
    const elsewhere = await pki('show', '--dir', 'nowhere');
    expect(elsewhere.exitCode).toBe(EXIT.NOT_FOUND);
    expect(elsewhere.err).toContain('distric pki init');
  });

  it('issues what a node copies, and shows it', async () => {
    const made = await pki('issue', 'coordinator/c1', '--dns', 'c1.example', '--ip', '10.0.0.1', '--valid-for', '30d');
    expect(made.exitCode).toBe(EXIT.OK);
    expect(made.out).toContain('distric://prod/coordinator/c1');
    for (const name of ['node.crt', 'node.key', 'ca.crt']) {
      expect(await read(`pki/issued/coordinator-c1/${name}`)).toContain('-----BEGIN');
    }
    const { cluster, issued } = await shown();
    expect([cluster, issued.length]).toEqual(['prod', 1]);
    expect(issued[0]?.names).toBe('URI:distric://prod/coordinator/c1, DNS:c1.example, IP Address:10.0.0.1');
    expect((Date.parse(issued[0]?.valid_until ?? '') - Date.now()) / 86_400_000).toBeCloseTo(30, 1);
    const before = await read('pki/issued/coordinator-c1/node.crt');
    expect(await pki('issue', '--all')).toMatchObject({ exitCode: EXIT.OK });
    expect(await read('pki/issued/coordinator-c1/node.crt')).not.toBe(before);
    expect((await pki('show')).out).toMatch(/O=prod, CN=distric authority \w+ +yes/);
  });

  it.each([
    [['issue']],
    [['issue', 'w1']],
    [['issue', 'king/w1']],
    [['issue', 'worker/w1/x']],
    [['issue', 'worker/w1', '--ip', 'localhost']],
    [['issue', 'worker/w1', '--valid-for', 'long']],
    [['issue', 'worker/w1', '--all']],
    [['rotate']],
    [['rotate', 'again']],
    [['join-token', 'create']],
    [['join-token', 'create', '--role', 'operator']],
  ])('refuses the usage %j', async (argv) => {
    expect(await pki(...argv)).toMatchObject({ exitCode: EXIT.USAGE });
  });

  it('replaces the authority step by step, and says what comes next', async () => {
    await pki('issue', 'worker/w1');
    const [old] = (await shown()).authorities;
    expect((await pki('rotate', 'switch')).err).toContain('the next step of the rotation is trust');
    expect((await pki('rotate', 'trust')).out).toContain('then: distric pki rotate switch');
    expect((await shown()).authorities.map(({ signs }) => signs)).toEqual([true, false]);
    expect((await pki('rotate', 'switch')).out).toContain('then: distric pki rotate drop');
    expect((await shown()).authorities.map(({ signs }) => signs)).toEqual([false, true]);
    expect((await pki('rotate', 'drop')).exitCode).toBe(EXIT.OK);
    const after = (await shown()).authorities;
    expect(after).toHaveLength(1);
    expect(after[0]?.sha256).not.toBe(old?.sha256);
  });

  it('makes join tokens, and says until when they are secrets', async () => {
    const made = await pki('join-token', 'create', '--role', 'worker', '--ttl', '10m', '--name', 'w1', '--uses', '1');
    expect(made.out.trim()).toMatch(/^[\w-]+\.[\w-]+@sha256:[0-9a-f]{64}$/);
    expect(made.err).toContain('a secret until');
    expect(made.out).toContain((await shown()).authorities[0]?.sha256);
  });
});

describe('commands over HTTPS', () => {
  async function serve(): Promise<{ url: string; shown: string[]; close: () => void }> {
    await pki('issue', 'coordinator/c1', '--ip', '127.0.0.1');
    const shownNames: string[] = [];
    const folder = 'pki/issued/coordinator-c1';
    const options = {
      cert: await read(`${folder}/node.crt`),
      key: await read(`${folder}/node.key`),
      ca: await read('pki/ca.crt'),
      requestCert: true,
      rejectUnauthorized: false,
    };
    const server = createServer(options, (request, response) => {
      const { socket } = request;
      const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
      shownNames.push(certificate?.subjectAltName ?? 'none');
      response.end(JSON.stringify({ rules: [], catalog_version: 1 }));
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const close = (): void => {
      server.close();
      server.closeAllConnections();
    };
    return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, shown: shownNames, close };
  }

  it('trust the authority they are given, and show the certificate they are given', async () => {
    await pki('issue', 'operator/ann');
    const { url, shown: names, close } = await serve();
    const list = (...more: string[]): Promise<CommandResult> => room.distric(['rules', 'list', '-s', url, ...more]);
    try {
      const untrusted = await list();
      expect(untrusted.exitCode).toBe(EXIT.UNAVAILABLE);
      expect(untrusted.err).toContain("give the cluster's authority by --ca");
      expect(await list('--ca', 'pki/ca.crt')).toMatchObject({ exitCode: EXIT.OK });
      const folder = 'pki/issued/operator-ann';
      const certificate = ['--cert', `${folder}/node.crt`, '--cert-key', `${folder}/node.key`];
      expect(await list('--ca', 'pki/ca.crt', ...certificate)).toMatchObject({ exitCode: EXIT.OK });
      expect(names).toEqual(['none', 'URI:distric://prod/operator/ann']);
      expect(await list('--ca', 'pki/ca.crt', ...certificate.slice(0, 2))).toMatchObject({ exitCode: EXIT.USAGE });
      expect(await list('--ca', 'nowhere')).toMatchObject({ exitCode: EXIT.NOT_FOUND });
      const env = { DISTRIC_CA: 'pki/ca.crt', DISTRIC_SERVER: url };
      expect(await room.distric(['rules', 'list'], { env })).toMatchObject({ exitCode: EXIT.OK });
    } finally {
      close();
    }
  });

  it('tell no key in plain text to a node that speaks TLS', async () => {
    const heard: Buffer[] = [];
    const sockets = new Set<Socket>();
    const server = createTcpServer((socket) => {
      sockets.add(socket.on('error', () => undefined).on('data', (bytes: Buffer) => heard.push(bytes)));
    });
    const address = await new Promise<string>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve(`127.0.0.1:${(server.address() as AddressInfo).port}`));
    });
    const env = { DISTRIC_API_KEY: `dk_admin_${'s'.repeat(43)}` };
    const send = (...more: string[]) =>
      room.distric(['send', '{}', '--binary', '--timeout', '0.5', '--data', 'local', ...more], { env });
    try {
      const halfGiven = await send('--peer', address, '--ca', 'pki/ca.crt');
      expect(halfGiven).toMatchObject({ exitCode: EXIT.USAGE });
      const node = { id: 'c1', role: 'coordinator', pid: null, peer: address, http: address, metrics: address };
      const file = { version: 1, settings: { clusterName: 'prod', tls: true, pluginDirs: [] }, nodes: [node] };
      await mkdir(path.join(room.cwd, 'local'));
      await room.write('local/cluster.json', JSON.stringify(file));
      const none = await send();
      expect(none).toMatchObject({ exitCode: EXIT.USAGE });
      expect(none.err).toContain('distric up');
      expect(heard).toEqual([]);
      await pki('issue', 'client/distric-cli');
      await rename(path.join(room.cwd, 'pki'), path.join(room.cwd, 'local/pki'));
      expect(await send()).toMatchObject({ exitCode: EXIT.UNAVAILABLE });
      // A ClientHello (RFC 8446, 5.1).
      expect(heard[0]?.[0]).toBe(0x16);
      expect(Buffer.concat(heard).includes('ssss')).toBe(false);
    } finally {
      server.close();
      for (const socket of sockets) socket.destroy();
    }
  });

  it('find the authority of the local cluster, and use it for no other', async () => {
    const { url, close } = await serve();
    try {
      await mkdir(path.join(room.cwd, '.distric/pki'), { recursive: true });
      await room.write('.distric/pki/ca.crt', await read('pki/ca.crt'));
      const address = new URL(url).host;
      const node = { id: 'c1', role: 'coordinator', pid: null, peer: address, http: address, metrics: address };
      const file = { version: 1, settings: { tls: true, pluginDirs: [] }, nodes: [node] };
      await room.write('.distric/cluster.json', JSON.stringify(file));
      expect(await room.distric(['rules', 'list'], { env: {} })).toMatchObject({ exitCode: EXIT.OK });
      const other = url.replace('127.0.0.1', 'localhost');
      expect(await room.distric(['rules', 'list', '-s', other], { env: {} })).toMatchObject({
        exitCode: EXIT.UNAVAILABLE,
      });
    } finally {
      close();
    }
  });
});
