/**
 * `GET /cluster/events`: what becomes of the nodes, as Server-Sent Events (WHATWG HTML §9.2).
 *
 * Bounded: so many listeners, so much that one of them leaves unread, so long until it has to come back, which browsers
 * do by themselves: by then its key may be one of the past. `Last-Event-ID` gives what it has missed meanwhile, as far
 * as this coordinator remembers.
 */
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { NodeEvent } from '../../../api/nodes.ts';
import { API_BASE } from '../../../api/rest.ts';
import { DistricError } from '../../../base/errors.ts';
import type { ApiContext } from './exchange.ts';
import { queryOf } from './query.ts';

/** Where the events come from: `listener` is called with each from now on. */
export type NodeEventSource = (listener: (event: NodeEvent) => void) => void;

interface Told {
  readonly number: number;
  readonly text: string;
}

/** Events that are kept for listeners that come back. */
const KEPT_MAX = 1_000;
/** How soon a listener that was cut off should come back. */
const RETRY_MS = 2_000;

export function registerEvents(app: FastifyInstance, context: ApiContext, source: NodeEventSource | undefined): void {
  const desk = new EventDesk(context);
  source?.((event) => {
    desk.tell(event);
  });
  app.addHook('preClose', (done) => {
    desk.end();
    done();
  });
  app.get(`${API_BASE}/cluster/events`, { exposeHeadRoute: false }, (request, reply) => {
    queryOf(request, []);
    if (source === undefined) throw new DistricError('NOT_FOUND', 'this server tells of no events: gossip is off');
    if (desk.isFull) {
      throw new DistricError('QUEUE_FULL', 'too many listen to events here already: ask another coordinator');
    }
    const last = request.headers['last-event-id'];
    reply.hijack();
    // The end of the stream is the end of the connection: a server that closes does not wait for another request on it.
    const headers = { 'content-type': 'text/event-stream; charset=utf-8', connection: 'close' };
    reply.raw.writeHead(200, { ...(reply.getHeaders() as Record<string, string>), ...headers });
    desk.take(reply.raw, typeof last === 'string' ? last : '');
  });
}

class EventDesk {
  readonly #context: ApiContext;
  /** Numbers of another process mean nothing here. */
  readonly #life = randomBytes(6).toString('hex');
  readonly #kept: Told[] = [];
  readonly #listeners = new Set<ServerResponse>();
  #number = 0;

  constructor(context: ApiContext) {
    this.#context = context;
  }

  get isFull(): boolean {
    return this.#listeners.size >= this.#context.limits.eventListenersMax;
  }

  tell(event: NodeEvent): void {
    const number = ++this.#number;
    const text = `id: ${this.#life}-${String(number)}\nevent: ${event.event}\ndata: ${JSON.stringify(event)}\n\n`;
    this.#kept.push({ number, text });
    if (this.#kept.length > KEPT_MAX) this.#kept.shift();
    for (const listener of this.#listeners) this.#write(listener, text);
  }

  take(response: ServerResponse, lastId: string): void {
    const { eventKeepAliveMs, eventStreamMs } = this.#context.timeouts;
    this.#listeners.add(response);
    const keepAlive = setInterval(() => {
      this.#write(response, ': still here\n\n');
    }, eventKeepAliveMs);
    const end = setTimeout(() => response.end(), eventStreamMs);
    response.once('close', () => {
      clearInterval(keepAlive);
      clearTimeout(end);
      this.#listeners.delete(response);
    });
    this.#write(response, `retry: ${String(RETRY_MS)}\n\n${this.#missed(lastId)}`);
  }

  end(): void {
    for (const listener of this.#listeners) listener.end();
  }

  #missed(lastId: string): string {
    const [life, number] = lastId.split('-');
    if (life !== this.#life || number === undefined || !/^\d{1,15}$/.test(number)) return '';
    const missed = this.#kept.filter((told) => told.number > Number(number));
    return missed.map(({ text }) => text).join('');
  }

  /** Whoever does not read is cut off. */
  #write(listener: ServerResponse, text: string): void {
    if (listener.writableLength > this.#context.limits.eventBytesUnreadMax) listener.destroy();
    else if (!listener.writableEnded) listener.write(text);
  }
}
