import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { parseAddress } from '../../../base/address.ts';
import { encodeFrame, FrameReader } from '../../core/tlv/frame.ts';
import { decodeMessage, encodeMessage, type Message } from '../../core/tlv/messages.ts';
import { nodeHost } from '../host.ts';
import { TestNode } from './test-node.ts';

const closers: (() => unknown)[] = [];

/** After each test: closes what it opened, newest first. */
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

export function closeLater(close: () => unknown): void {
  closers.push(close);
}

export function node(nodeId: string, options?: ConstructorParameters<typeof TestNode>[1]): TestNode {
  const made = new TestNode(nodeId, options);
  closeLater(() => made.net.close());
  return made;
}

export async function raw(address: string): Promise<Socket> {
  const socket = connect(parseAddress(address));
  // A peer that closes while we write gives a reset here: expected, and seen by the 'close' after it.
  socket.on('error', () => undefined);
  closeLater(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

export function frame(message: Message): Uint8Array {
  const { code, payload } = encodeMessage(nodeHost, message);
  return encodeFrame(nodeHost, code, 0, 1, 1, payload);
}

export function hello(nodeId: string, lane: string, clusterName = 'test', role = 'coordinator'): Message {
  return { kind: 'HELLO', body: { nodeId, role, clusterName, lane, features: [] } };
}

/** Resolves once the socket is closed, by a reset too. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => {
      resolve();
    });
  });
}

/** All messages until the other side closes. */
export async function readAll(socket: Socket): Promise<Message[]> {
  const reader = new FrameReader(nodeHost);
  const messages: Message[] = [];
  socket.on('data', (chunk) => {
    reader.push(chunk, (one) => {
      const message = decodeMessage(nodeHost, one.typeCode, one.payload);
      if (message !== undefined) messages.push(message);
    });
  });
  await closed(socket);
  return messages;
}

export function readIndex(requestId: number): Message {
  return { kind: 'READ_INDEX', body: { requestId } };
}

export function propose(requestId: number, byteCount: number): Message {
  return { kind: 'FORWARD_PROPOSE', body: { requestId, commandKind: 1, command: new Uint8Array(byteCount).fill(7) } };
}

/** A coordinator and a worker that dials it, both up. */
export async function pair(
  options: ConstructorParameters<typeof TestNode>[1] = {},
): Promise<[TestNode, TestNode, string]> {
  const coordinator = node('c1', options);
  const worker = node('w1', { ...options, self: { nodeId: 'w1', role: 'worker', clusterName: 'test' } });
  const address = await coordinator.listen();
  worker.net.dial(address, 'c1');
  await worker.until(() => worker.isUp(coordinator));
  await coordinator.until(() => coordinator.isUp(worker));
  return [coordinator, worker, address];
}
