import { afterEach, describe, expect, it } from '@jest/globals';
import type { NodeEvent } from '../../../api/nodes.ts';
import { ApiServer } from './api-server.ts';
import type { ApiLimits, ApiTimeouts } from './limits.ts';
import { RecordingGateway } from './recording-gateway.ts';
import { openAccess } from './test-access.ts';

let server: ApiServer | undefined;
afterEach(async () => {
  await server?.close();
});

interface Bounds {
  limits?: Partial<ApiLimits>;
  timeouts?: Partial<ApiTimeouts>;
}

async function start(bounds: Bounds = {}): Promise<{ url: string; tell: (id: string) => void }> {
  let listener: (event: NodeEvent) => void = () => undefined;
  server = new ApiServer({
    gateway: new RecordingGateway(),
    access: openAccess(),
    host: '127.0.0.1',
    port: 0,
    log: { error: () => undefined },
    events: (given) => (listener = given),
    ...bounds,
  });
  const { port } = await server.listen();
  const tell = (id: string): void => {
    const node: NodeEvent['node'] = { id, status: 'failed', for_ms: 0, incarnation: 1, labels: [] };
    listener({ event: 'failed', at: '2026-01-01T00:00:00.000Z', node });
  };
  return { url: `http://127.0.0.1:${String(port)}/api/v1/cluster/events`, tell };
}

/** Reads on until `text` is in what has come, or it ends. */
class Listener {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = '';

  private constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
  }

  static async open(url: string, lastId?: string): Promise<Listener> {
    const response = await fetch(url, lastId === undefined ? {} : { headers: { 'last-event-id': lastId } });
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    expect(response.headers.get('cache-control')).toBe('no-store');
    const listener = new Listener(response.body!.getReader());
    await listener.until('retry: ');
    return listener;
  }

  async until(text: string): Promise<string> {
    while (!this.#text.includes(text)) {
      const { value, done } = await this.#reader.read();
      if (done) break;
      this.#text += Buffer.from(value).toString('utf8');
    }
    return this.#text;
  }

  /** All that comes until the server ends it. */
  rest(): Promise<string> {
    return this.until('\0');
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

function ids(text: string): string[] {
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, json = '']) => (JSON.parse(json) as NodeEvent).node.id);
}

describe('GET /cluster/events', () => {
  it('tells events as they come, and after a break what was missed', async () => {
    const { url, tell } = await start();
    const first = await Listener.open(url);
    tell('w1');
    const heard = await first.until('\n\nid: ').then(() => first.until('w1'));
    expect(ids(heard)).toEqual(['w1']);
    expect(heard).toContain('event: failed\n');
    await first.cancel();
    tell('w2');
    tell('w3');
    const [, lastId] = /^id: (.*)$/m.exec(heard) ?? [];
    const second = await Listener.open(url, lastId);
    expect(ids(await second.until('w3'))).toEqual(['w2', 'w3']);
    const third = await Listener.open(url, 'of another life-1');
    tell('w4');
    expect(ids(await third.until('w4'))).toEqual(['w4']);
  });

  it('is never silent for long, and ends after a while', async () => {
    const { url } = await start({ timeouts: { eventKeepAliveMs: 5, eventStreamMs: 200 } });
    const listener = await Listener.open(url);
    await listener.until(': still here');
    expect(await listener.rest()).toContain(': still here');
  });

  it('refuses more listeners than it has room for, until one goes', async () => {
    const { url } = await start({ limits: { eventListenersMax: 1 } });
    const first = await Listener.open(url);
    const refused = await fetch(url);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'QUEUE_FULL' });
    await first.cancel();
    for (;;) {
      const again = await fetch(url);
      await again.body?.cancel();
      if (again.status === 200) return;
    }
  });

  it('cuts off who does not read', async () => {
    const { url, tell } = await start({ limits: { eventBytesUnreadMax: 10_000 } });
    const listener = await Listener.open(url);
    // More than sockets and the reader hold between them.
    for (let i = 0; i < 200; i++) {
      for (let j = 0; j < 500; j++) tell(`w${String(i)}-${'x'.repeat(100)}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect(listener.rest()).rejects.toThrow();
  });

  it('ends with the server', async () => {
    const { url } = await start();
    const listener = await Listener.open(url);
    await server?.close();
    expect(await listener.rest()).toContain('retry: ');
  });

  it('is not there where gossip is off', async () => {
    const gateway = new RecordingGateway();
    const log = { error: () => undefined };
    server = new ApiServer({ gateway, access: openAccess(), host: '127.0.0.1', port: 0, log });
    const { port } = await server.listen();
    expect((await fetch(`http://127.0.0.1:${String(port)}/api/v1/cluster/events`)).status).toBe(404);
  });
});
