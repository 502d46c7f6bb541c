/** The REST server of a coordinator: fastify for routing, everything with a say about limits and errors here. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { assert, AssertionError } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';
import { auditActionOf, isOpenRoute, permissionOf, type Actor } from '../../../api/access.ts';
import type { RefusalNotes } from '../../refusal-notes.ts';
import type { Gateway } from '../../requests.ts';
import type { AccessGuard } from './access.ts';
import { registerAudit } from './audit.ts';
import { type BackupGate, registerBackup } from './backup.ts';
import { BodyReader } from './body.ts';
import { registerCluster } from './cluster.ts';
import { registerEvents, type NodeEventSource } from './events.ts';
import { registerMembers } from './members.ts';
import { respondProblem, type ApiContext } from './exchange.ts';
import { HttpsPort, isTlsFault, type HttpsMaterial, type HttpsOptions } from './https.ts';
import { registerInstances } from './instances.ts';
import { registerJoin, type JoinGate } from './join.ts';
import { registerKeys } from './keys.ts';
import {
  API_LIMITS,
  API_TIMEOUTS,
  HEADER_BYTES_MAX,
  PARAM_CHARS_MAX,
  type ApiLimits,
  type ApiTimeouts,
} from './limits.ts';
import { registerMessages } from './messages.ts';
import { rawProblem, toDistricError } from './problem.ts';
import { registerRules } from './rules.ts';
import { registerWorkers } from './workers.ts';
import { registerWorkflowDefinitions } from './workflow-definitions.ts';

/** The part of a pino logger that is used here. */
export interface ApiLog {
  error(fields: object, message: string): void;
}

export interface ApiServerOptions {
  gateway: Gateway;
  access: AccessGuard;
  /** Where refused changes go on record. */
  refusals?: RefusalNotes;
  host: string;
  /** 0 takes any free port. */
  port: number;
  log: ApiLog;
  limits?: Partial<ApiLimits>;
  timeouts?: Partial<ApiTimeouts>;
  /** HTTPS; plain HTTP without it. */
  https?: HttpsOptions;
  /** Without it the path answers 404. */
  backup?: BackupGate;
  /** What becomes of the nodes; without it the path answers 404. */
  events?: NodeEventSource;
  /** Lets nodes join; without it there is no such path. */
  join?: JoinGate;
  /** Told of a broken assertion below a request. By default it is thrown anew outside fastify, which ends the process. */
  onBug?: (error: AssertionError) => void;
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

function rethrow(error: AssertionError): void {
  setImmediate(() => {
    throw error;
  });
}

/** The client's own id when it is harmless to echo and log, else a new one. */
function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}

/** Answers on a connection whose bytes are not (or not in time) a request. */
function onClientError(error: Error, socket: Socket): void {
  const response = (socket as Socket & { _httpMessage?: { headersSent: boolean } | null })._httpMessage;
  // In the middle of another answer these bytes would be taken for a part of it.
  if (!socket.writable || isTlsFault(error) || response?.headersSent === true) {
    socket.destroy();
    return;
  }
  socket.end(rawProblem(toDistricError(error)), () => {
    socket.destroy();
  });
}

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #context: ApiContext;
  readonly #bodies: BodyReader;
  readonly #app: FastifyInstance;
  readonly #https: HttpsPort | undefined;
  #closed: Promise<void> | undefined;
  #routes: { method: string; url: string }[] = [];

  constructor(options: ApiServerOptions) {
    this.#options = options;
    const limits = { ...API_LIMITS, ...options.limits };
    const timeouts = { ...API_TIMEOUTS, ...options.timeouts };
    this.#context = { gateway: options.gateway, limits, timeouts, closing: false };
    this.#bodies = new BodyReader(limits);
    this.#https = options.https === undefined ? undefined : new HttpsPort(options.https);
    this.#app = this.#build(timeouts);
    this.#app.server.maxConnections = limits.connectionsMax;
  }

  /** What is served, `HEAD` included. */
  get routes(): readonly { method: string; url: string }[] {
    return this.#routes;
  }

  /** Requests that are being received or answered. */
  get heldRequests(): number {
    return this.#bodies.heldRequests;
  }

  /** Rejects when the address cannot be bound. Resolves with the address as bound. */
  async listen(): Promise<{ host: string; port: number }> {
    await this.#app.listen({ host: this.#options.host, port: this.#options.port });
    const address = this.#app.server.address();
    assert(address !== null && typeof address === 'object', 'a listening TCP server has an address');
    return { host: address.address, port: address.port };
  }

  /** New certificates, for a server that speaks HTTPS; no request is lost by it. */
  replaceCertificates(material: HttpsMaterial): void {
    this.#https?.replace(material);
  }

  /** Takes no new requests, waits for those in flight (`drainMs` at most), then resolves. May be called again. */
  close(): Promise<void> {
    this.#closed ??= this.#drain();
    return this.#closed;
  }

  async #drain(): Promise<void> {
    this.#context.closing = true;
    const deadline = setTimeout(() => {
      this.#app.server.closeAllConnections();
    }, this.#context.timeouts.drainMs);
    try {
      await this.#app.close();
    } finally {
      clearTimeout(deadline);
    }
  }

  #build(timeouts: ApiTimeouts): FastifyInstance {
    const app = fastify({
      logger: false,
      genReqId: requestIdOf,
      serverFactory: (listener) => this.#createServer(listener, timeouts),
      routerOptions: { maxParamLength: PARAM_CHARS_MAX },
      // Refused in #admit instead, as a problem document.
      return503OnClosing: false,
      forceCloseConnections: 'idle',
      clientErrorHandler: onClientError,
      frameworkErrors: (error, _request, reply) => {
        respondProblem(this.#context, reply, toDistricError(error));
      },
    });
    app.decorateRequest('actor');
    app.decorateRequest('bodyBytesMax', 0);
    app.decorateRequest('bodyBytesHeld', 0);
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (request: FastifyRequest, stream: IncomingMessage, done) => {
      this.#bodies.read(request, stream, done);
    });
    app.setErrorHandler((error, request, reply) => {
      this.#onError(error, request, reply);
    });
    app.addHook('onRequest', (request, reply, next) => {
      next(this.#admit(request, reply));
    });
    this.#route(app);
    return app;
  }

  #createServer(listener: RequestListener, timeouts: ApiTimeouts): Server {
    const options = {
      requestTimeout: timeouts.requestMs,
      keepAliveTimeout: timeouts.keepAliveMs,
      headersTimeout: Math.min(timeouts.headersMs, timeouts.requestMs),
      connectionsCheckingInterval: Math.min(1_000, Math.ceil(timeouts.requestMs / 4)),
      maxHeaderSize: HEADER_BYTES_MAX,
    };
    return this.#https?.createServer(options, listener) ?? createServer(options, listener);
  }

  #route(app: FastifyInstance): void {
    const methodsByPath = new Map<string, Set<string>>();
    let guarding = true;
    app.addHook('onRoute', ({ method, url }) => {
      const methods = methodsByPath.get(url) ?? new Set();
      for (const name of [method].flat()) {
        methods.add(name);
        assert(
          !guarding || isOpenRoute(name, url) || permissionOf(name, url) !== undefined,
          `${name} ${url} is in the table of api/access.ts`,
        );
      }
      methodsByPath.set(url, methods);
    });
    registerMessages(app, this.#context);
    registerInstances(app, this.#context);
    registerWorkflowDefinitions(app, this.#context);
    registerRules(app, this.#context);
    registerCluster(app, this.#context);
    registerWorkers(app, this.#context);
    registerBackup(app, this.#context, this.#options.backup);
    registerEvents(app, this.#context, this.#options.events);
    registerMembers(app, this.#context);
    registerKeys(app, this.#context);
    registerAudit(app, this.#context);
    const { join, access } = this.#options;
    if (join !== undefined) registerJoin(app, this.#context, join, access);
    this.#routes = [...methodsByPath].flatMap(([url, methods]) => [...methods].map((method) => ({ method, url })));
    // What follows only says what is not possible.
    guarding = false;
    for (const [url, methods] of [...methodsByPath]) {
      const allow = [...methods].join(', ');
      app.route({
        method: METHODS.filter((method) => !methods.has(method)),
        url,
        onRequest: (request, reply, next) => {
          reply.header('allow', allow);
          next(new DistricError('METHOD_NOT_ALLOWED', `${request.method} is not possible here; ${allow} are`));
        },
        handler: () => undefined,
      });
    }
  }

  /** Runs before anything of the body is read. */
  #admit(request: FastifyRequest, reply: FastifyReply): DistricError | undefined {
    const refused = this.#bodies.admit(request, reply);
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    reply.header('cache-control', 'no-store');
    if (this.#https?.isOutdated(request.raw.socket) === true) reply.header('connection', 'close');
    if (this.#context.closing) return new DistricError('SHUTTING_DOWN', 'this node is shutting down: ask another one');
    if (refused !== undefined) return refused;
    const denied = this.#options.access.admit(request, reply);
    if (denied !== undefined) return denied;
    if (!request.is404) return undefined;
    const path = request.url.split('?')[0] ?? '';
    return new DistricError('NOT_FOUND', `no such path: ${request.method} ${path.slice(0, 200)}`);
  }

  /** Of requests that came as far as the log the state machine makes the row. */
  #note(request: FastifyRequest, problem: DistricError): void {
    const { method, actor, routeOptions, params } = request;
    const action = routeOptions.url === undefined ? undefined : auditActionOf(method, routeOptions.url);
    // Without an actor nobody was let in.
    if (action === undefined || (actor as Actor | undefined) === undefined) return;
    const { id = '' } = params as { id?: string };
    const target = `${action.split('.')[0] ?? ''}/${id}`;
    this.#options.refusals?.note(actor, { action, target }, problem, performance.now());
  }

  #onError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const problem = toDistricError(error);
    if (problem.code === 'INTERNAL') {
      this.#options.log.error({ err: error, requestId: request.id, path: request.url }, 'request failed unexpectedly');
    }
    // The rest of such a body is more than is worth reading.
    if (problem.code === 'PAYLOAD_TOO_LARGE' && !request.raw.complete) reply.header('connection', 'close');
    respondProblem(this.#context, reply, problem);
    this.#note(request, problem);
    if (error instanceof AssertionError) (this.#options.onBug ?? rethrow)(error);
  }
}
