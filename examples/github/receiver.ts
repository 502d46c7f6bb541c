/**
 * A small HTTP receiver for the notices of the `notify` plugin. It counts deliveries by idempotency key, the way a real
 * target should: a repeat is answered like the first one and changes nothing.
 * Can be told to fail the first attempt of every n-th key with 503, so that retries are seen at work.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceiverOptions {
  /** 0 (default) picks a free port of the loopback interface. */
  port?: number;
  /** The first request of every n-th new key is answered 503; 0 (default) means none. */
  failEvery?: number;
  /** Called once per key, with the first notice (the parsed body) that was taken. */
  onNotice?: (key: string, notice: unknown) => void;
}

export interface Receiver {
  readonly url: string;
  /** Idempotency key -> requests answered with 2xx. Holds at most KEYS_MAX keys; later ones are answered 507. */
  readonly delivered: ReadonlyMap<string, number>;
  /** Idempotency key -> requests answered 503 on purpose. */
  readonly failed: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

const BODY_BYTES_MAX = 1 << 20;
const KEYS_MAX = 1_000_000;

export async function startReceiver(options: ReceiverOptions = {}): Promise<Receiver> {
  const failEvery = options.failEvery ?? 0;
  const seen = new Set<string>();
  const delivered = new Map<string, number>();
  const failed = new Map<string, number>();

  const take = (key: string, notice: unknown): number => {
    const known = seen.has(key);
    if (!known && seen.size >= KEYS_MAX) return 507;
    seen.add(key);
    if (!known && failEvery > 0 && seen.size % failEvery === 0) {
      failed.set(key, 1);
      return 503;
    }
    const count = (delivered.get(key) ?? 0) + 1;
    delivered.set(key, count);
    if (count === 1) options.onNotice?.(key, notice);
    return 204;
  };

  const server = createServer((request, response) => {
    readBody(request).then(
      (body) => {
        const key = request.headers['idempotency-key'];
        const notice = body === undefined ? undefined : parsed(body);
        if (request.method !== 'POST') answer(response, 405);
        else if (body === undefined) answer(response, 413);
        else if (typeof key !== 'string' || key === '' || notice === undefined) answer(response, 400);
        else answer(response, take(key, notice));
      },
      // The sender went away in the middle of its request: there is nobody left to answer.
      () => request.destroy(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${String(port)}/notices`,
    delivered,
    failed,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

/** The body as text; undefined when it is larger than BODY_BYTES_MAX. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Read on to the end: who is still sending would not see an answer.
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  }
  return bytes > BODY_BYTES_MAX ? undefined : Buffer.concat(chunks).toString('utf8');
}

/** The value, or undefined when the text is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function answer(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-length': 0 }).end();
}
