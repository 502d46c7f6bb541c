import { afterEach, describe, expect, it } from '@jest/globals';
import type { Message } from '../../core/tlv/messages.ts';
import { closeAll, frame, hello, node, raw, readAll } from './test-peers.ts';

afterEach(closeAll);

/** A worker's process dials both lanes; `told` is what it hears on each until that is closed. */
async function dial(address: string, session: string): Promise<{ told: Promise<Message[]>[] }> {
  const told: Promise<Message[]>[] = [];
  for (const lane of ['control', 'bulk']) {
    const socket = await raw(address);
    const message = hello('w1', lane, 'test', 'worker') as Extract<Message, { kind: 'HELLO' }>;
    socket.write(frame({ ...message, body: { ...message.body, session } }));
    told.push(readAll(socket));
  }
  return { told };
}

describe('two processes under one id', () => {
  it('do not replace each other: the second is refused, and told where the first is', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    await dial(address, 's1');
    await n1.until(() => n1.peers.has('w1'));
    const first = n1.peers.get('w1')!;
    const { told } = await dial(address, 's2');
    for (const messages of await Promise.all(told)) {
      const reason = `id_in_use: another worker goes by the id w1, from ${first.address}`;
      expect(messages).toEqual([{ kind: 'GOAWAY', body: { reason } }]);
    }
    expect(n1.events).toEqual(['up w1']);
    expect(n1.peers.get('w1')).toBe(first);
    expect(n1.count('tcp id_in_use')).toBe(2);
  });

  it('are told apart from one process that dials anew', async () => {
    const n1 = node('n1');
    const address = await n1.listen();
    await dial(address, 's1');
    await n1.until(() => n1.peers.has('w1'));
    await dial(address, 's1');
    await n1.until(() => n1.events.length === 3);
    expect(n1.events).toEqual(['up w1', 'down w1: replaced', 'up w1']);
  });

  it('give way when the first is silent: it is gone, and its end was not heard', async () => {
    const n1 = node('n1', { limits: { keepAliveMs: { control: 20, bulk: 1_000 } } });
    const address = await n1.listen();
    await dial(address, 's1');
    await n1.until(() => n1.peers.has('w1'));
    // Both count in sweeps: by then nothing has come for longer than it may.
    await n1.until(() => n1.count('rpc KEEPALIVE') >= 10);
    await dial(address, 's2');
    await n1.until(() => n1.peers.get('w1')?.session === 's2');
    expect(n1.events).toEqual(['up w1', 'down w1: replaced', 'up w1']);
  });
});
