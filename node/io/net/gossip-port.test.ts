import { randomBytes } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { Address } from '../../../base/address.ts';
import { decodeFrame, encodeFrame } from '../../core/tlv/frame.ts';
import { decodeMessage, encodeMessage, type Message } from '../../core/tlv/messages.ts';
import { nodeHost } from '../host.ts';
import { GossipPort } from './gossip-port.ts';
import { readKeyFile } from './key-file.ts';
import { closeAll, closeLater } from './test-peers.ts';
import { UdpSocket } from './udp-socket.ts';

afterEach(closeAll);

const LOOPBACK: Address = { host: '127.0.0.1', port: 0 };
const key = (id: number): object => ({ id, key: randomBytes(32).toString('base64') });

function directory(): string {
  const made = mkdtempSync(join(tmpdir(), 'distric-keys-'));
  closeLater(() => rmSync(made, { recursive: true }));
  return made;
}

function events() {
  const seen: string[] = [];
  const waiting = new Set<() => void>();
  const note = (event: string): void => {
    seen.push(event);
    for (const look of [...waiting]) look();
  };
  const until = (condition: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  const metrics = {
    packetSent: () => undefined,
    packetReceived: () => undefined,
    sendFailed: () => note('failed'),
    packetDropped: (reason: string) => note(`dropped ${reason}`),
  };
  const log = {
    debug: () => undefined,
    info: (_: object, text: string) => note(text),
    warn: (_: object, text: string) => note(text),
  };
  return { seen, note, until, metrics, log };
}

async function port(keyFile?: string) {
  const report = events();
  const listener = { on: true as const, address: LOOPBACK, ...(keyFile === undefined ? {} : { keyFile }) };
  const opened = await GossipPort.open({ host: nodeHost, listener, ...report, keyPollMs: 10 });
  closeLater(() => opened.close());
  return { ...report, gossip: opened, address: opened.address };
}

/** Sends bytes to a port and writes down what comes back. */
async function probe(keyFile?: string) {
  const report = events();
  const socket = await UdpSocket.open({
    host: nodeHost,
    address: LOOPBACK,
    ...(keyFile === undefined ? {} : { keys: readKeyFile(keyFile) }),
    onDatagram: (bytes) => {
      const { typeCode, payload } = decodeFrame(nodeHost, bytes);
      report.note(JSON.stringify(decodeMessage(nodeHost, typeCode, payload)));
    },
    metrics: report.metrics,
    log: report.log,
  });
  closeLater(() => socket.close());
  return { ...report, socket };
}

function frame(message: Message): Uint8Array {
  const { code, payload } = encodeMessage(nodeHost, message);
  return encodeFrame(nodeHost, code, 0, 1, 1, payload);
}

const ack = (sequence: number): string => JSON.stringify({ kind: 'ACK', body: { sequence } });

describe('GossipPort', () => {
  it('answers PING, and drops what is no message for it', async () => {
    const [node, client] = [await port(), await probe()];
    const strange = encodeFrame(nodeHost, 0x2fff, 0, 1, 1, new Uint8Array());
    const cut = frame({ kind: 'PING', body: { sequence: 1 } }).subarray(0, 40);
    const empty = encodeFrame(nodeHost, 0x2001, 0, 1, 1, new Uint8Array());
    const twice = Buffer.concat([strange, strange]);
    for (const bytes of [cut, empty, twice, strange, frame({ kind: 'ACK', body: { sequence: 1 } })]) {
      client.socket.send(node.address, bytes);
    }
    client.socket.send(node.address, frame({ kind: 'PING', body: { sequence: 7 } }));
    await client.until(() => client.seen.length === 1);
    expect(client.seen).toEqual([ack(7)]);
    expect(node.seen.sort()).toEqual([
      ...Array.from({ length: 3 }, () => 'dropped malformed'),
      ...Array.from({ length: 2 }, () => 'dropped unexpected'),
    ]);
  });

  it('seals with the keys of its file, reads them again when they change, and keeps them while the file is wrong', async () => {
    const folder = directory();
    const file = join(folder, 'keys.yaml');
    const replace = (text: string): void => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    const [one, two] = [key(1), key(2)];
    replace(JSON.stringify([one]));
    const node = await port(file);
    const before = await probe(file);
    before.socket.send(node.address, frame({ kind: 'PING', body: { sequence: 1 } }));
    await before.until(() => before.seen.includes(ack(1)));
    replace('- {id: 1, key: oops}');
    await node.until(() => node.seen.includes('gossip keys kept: the new key file is wrong'));
    before.socket.send(node.address, frame({ kind: 'PING', body: { sequence: 2 } }));
    await before.until(() => before.seen.includes(ack(2)));
    replace(JSON.stringify([two, one]));
    await node.until(() => node.seen.includes('gossip keys loaded'));
    const after = await probe(file);
    after.socket.send(node.address, frame({ kind: 'PING', body: { sequence: 3 } }));
    await after.until(() => after.seen.includes(ack(3)));
    expect([before.seen, after.seen]).toEqual([[ack(1), ack(2)], [ack(3)]]);
  });

  it('does not start with a key file that is missing or wrong', async () => {
    await expect(port(join(directory(), 'none.yaml'))).rejects.toThrow(/key file cannot be read/);
  });
});
