import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parseGossipKeys } from '../api/gossip-keys.ts';
import { TestAnswerer } from '../client/test-answerer.ts';
import { CommandRoom } from './command-room.ts';
import { EXIT } from './exit-code.ts';

let room: CommandRoom;
const closers: (() => unknown)[] = [];

beforeEach(async () => {
  room = await CommandRoom.open();
});

afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await room.close();
});

/** The port of a TCP server, which is closed again when `open` is false. */
async function tcpPort(open = true): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => undefined).end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  if (open) closers.push(() => server.close());
  else await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answerer(keys?: string): Promise<TestAnswerer> {
  const opened = await TestAnswerer.open(keys === undefined ? undefined : parseGossipKeys(keys));
  closers.push(() => opened.close());
  return opened;
}

const QUICK = ['--interval', '0', '--wait', '0.2'];

describe('distric net ping', () => {
  it('measures connections to any port, one line a try and a table of them all', async () => {
    const port = await tcpPort();
    const { exitCode, lines } = await room.distric(['net', 'ping', `127.0.0.1:${String(port)}`, '-c', '3', ...QUICK]);
    expect(exitCode).toBe(EXIT.OK);
    expect(lines[0]).toBe(`ping 127.0.0.1:${String(port)} by tcp`);
    expect(lines.slice(1, 4).every((line) => /^\d {2}127\.0\.0\.1:\d+ {2}\d+\.\d{3} ms$/.test(line))).toBe(true);
    expect(lines.at(-1)).toMatch(/^127\.0\.0\.1 +3 +3 +0% +\d/);
  });

  it('asks the gossip port of a node, and tells lost answers', async () => {
    const node = await answerer();
    node.silent.add(2);
    const target = `127.0.0.1:${String(node.address.port)}`;
    const { exitCode, out } = await room.distric(['net', 'ping', target, '--udp', '-o', 'json', ...QUICK]);
    expect(exitCode).toBe(EXIT.OK);
    expect(JSON.parse(out)).toMatchObject({
      host: '127.0.0.1',
      protocol: 'udp',
      addresses: [{ sent: 4, answered: 3, lost_percent: 25, last_failure: 'no answer in 200 ms' }],
    });
  });

  it('takes the keys of a cluster', async () => {
    const keys = JSON.stringify([{ id: 4, key: randomBytes(32).toString('base64') }]);
    await room.write('keys.yaml', keys);
    await room.write('wrong.yaml', '[]');
    const target = `127.0.0.1:${String((await answerer(keys)).address.port)}`;
    const ping = (...more: string[]) => room.distric(['net', 'ping', target, '--udp', '-c', '1', ...QUICK, ...more]);
    expect(await ping('--key-file', 'keys.yaml')).toMatchObject({ exitCode: EXIT.OK });
    expect(await ping()).toMatchObject({ exitCode: EXIT.UNAVAILABLE });
    expect(await ping('--key-file', 'none.yaml')).toMatchObject({ exitCode: EXIT.NOT_FOUND });
    expect(await ping('--key-file', 'wrong.yaml')).toMatchObject({ exitCode: EXIT.REFUSED });
  });

  it('tries every address of a name, and says why one does not answer', async () => {
    const port = await tcpPort();
    const { exitCode, out } = await room.distric(['net', 'ping', `localhost:${String(port)}`, '-c', '1', '-o', 'json']);
    expect(exitCode).toBe(EXIT.OK);
    const { addresses } = JSON.parse(out) as { addresses: { address: string; answered: number }[] };
    expect(addresses.find(({ address }) => address === '127.0.0.1')?.answered).toBe(1);
    const dead = await room.distric(['net', 'ping', `127.0.0.1:${String(await tcpPort(false))}`, '-c', '1']);
    expect(dead).toMatchObject({ exitCode: EXIT.UNAVAILABLE });
    expect(dead.out).toContain('ECONNREFUSED');
    const unknown = await room.distric(['net', 'ping', 'nowhere.invalid:1']);
    expect(unknown).toMatchObject({ exitCode: EXIT.NOT_FOUND });
    expect(unknown.err).toContain('nowhere.invalid');
  });

  it('stops when it is interrupted, and still adds up', async () => {
    const interrupt = new AbortController();
    const port = await tcpPort();
    const onWrite = (text: string): void => {
      if (text.includes(' ms')) interrupt.abort();
    };
    const argv = ['net', 'ping', `127.0.0.1:${String(port)}`, '-c', '1000', '--interval', '30'];
    const { exitCode, lines } = await room.distric(argv, { signal: interrupt.signal, onWrite });
    expect(exitCode).toBe(EXIT.OK);
    expect(lines.at(-1)).toMatch(/^127\.0\.0\.1 +1 +1 +0%/);
  });

  it.each([[['nowhere']], [['127.0.0.1:0']], [['127.0.0.1:1', '-c', '0']], [['127.0.0.1:1', '--tcp', '--udp']]])(
    'refuses %j',
    async (argv) => {
      expect(await room.distric(['net', 'ping', ...argv])).toMatchObject({ exitCode: EXIT.USAGE });
    },
  );
});

describe('distric net interfaces', () => {
  it('lists the loopback interface as what it is', async () => {
    const { exitCode, out } = await room.distric(['net', 'interfaces', '-o', 'json']);
    expect(exitCode).toBe(EXIT.OK);
    const { interfaces } = JSON.parse(out) as { interfaces: { address: string; internal: boolean }[] };
    expect(interfaces).toContainEqual(
      expect.objectContaining({ address: '127.0.0.1', family: 'IPv4', internal: true }),
    );
    const { out: table } = await room.distric(['net', 'interfaces']);
    expect(table).toMatch(/^Interface +Family +Address/);
    expect(table).toMatch(/127\.0\.0\.1 .*this machine/);
  });
});
