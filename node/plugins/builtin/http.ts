import {
  Agent as HttpAgent,
  request as httpRequest,
  validateHeaderName,
  validateHeaderValue,
  type ClientRequest,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { durationMs } from '../../../api/duration.ts';
import { definePlugin, messageOf, RetryableError, TerminalError, type AnyPlugin, type TaskContext } from '../sdk.ts';
import { NetworkGuard } from './network-guard.ts';

/** Half of a task's output limit: as a JSON string a body may grow. */
const RESPONSE_BYTES_MAX = 128 * 1024;
const SOCKETS_PER_HOST_MAX = 64;
const TIMEOUT_DEFAULT = '30s';
/** Besides 5xx: request time-out, too early, too many requests. */
const RETRYABLE_STATUSES = new Set([408, 425, 429]);

interface Config {
  url: string;
  method: string;
  headers: Record<string, string>;
  body?: unknown;
  timeout: number | string;
}

interface Response {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
}

/**
 * `http` (and, under a name that says what for, `webhook`): one HTTP request. Config: `url`, `method` (default POST),
 * `headers`, `body` (text as it is, anything else as JSON; default: the message, but nothing for GET and HEAD),
 * `timeout` (seconds or `10s`, default 30 s). Output: `{"status", "headers", "body"}`, the body parsed when it is JSON.
 *
 * Every attempt at a task carries the same `Idempotency-Key`, and its own `Distric-Fencing-Token`.
 * 429, 408, 425, 5xx and network errors are retried; any other status but 2xx is terminal, redirects (not followed) included,
 * as is a response over 128 KiB. Private, loopback, link-local and metadata addresses are refused, on the address
 * that is dialled, unless `allow` lists the `host[:port]`.
 */
export function http(name: string, allow: string): AnyPlugin {
  const guard = new NetworkGuard(allow);
  const agentOptions = { keepAlive: true, maxSockets: SOCKETS_PER_HOST_MAX };
  const agents = { http: new HttpAgent(agentOptions), https: new HttpsAgent(agentOptions) };

  const open = (
    url: URL,
    context: TaskContext<Config>,
    body: Buffer | undefined,
    signal: AbortSignal,
    fresh: boolean,
  ) => {
    const options = {
      method: context.config.method,
      headers: headersOf(context, body),
      lookup: guard.lookupFor(url),
      signal,
    };
    return url.protocol === 'https:'
      ? httpsRequest(url, { ...options, agent: fresh ? false : agents.https })
      : httpRequest(url, { ...options, agent: fresh ? false : agents.http });
  };

  return definePlugin<Config>({
    name,
    version: '1.0.0',
    configSchema: CONFIG_SCHEMA,
    validateConfig(config) {
      urlOf(config);
      durationMs(config.timeout);
      for (const [name, value] of Object.entries(config.headers)) {
        validateHeaderName(name);
        validateHeaderValue(name, value);
      }
    },
    async execute(context) {
      const { config, signal } = context;
      const url = urlOf(config);
      guard.checkLiteral(url);
      const body = bodyOf(context);
      const limitMs = durationMs(config.timeout);
      const limit = AbortSignal.timeout(limitMs);
      const either = AbortSignal.any([signal, limit]);
      try {
        const response = await exchange((fresh) => open(url, context, body, either, fresh), body);
        return accept(response, config.method, url);
      } catch (thrown) {
        if (limit.aborted)
          throw new RetryableError(`${config.method} ${url.host}: no complete response in ${limitMs} ms`);
        throw classified(thrown, `${config.method} ${url.host}`);
      }
    },
    cleanup() {
      agents.http.destroy();
      agents.https.destroy();
    },
  });
}

const CONFIG_SCHEMA = {
  type: 'object',
  properties: {
    url: { type: 'string', maxLength: 8192 },
    method: { enum: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'], default: 'POST' },
    headers: { type: 'object', additionalProperties: { type: 'string' }, maxProperties: 64, default: {} },
    body: {},
    timeout: { type: ['number', 'string'], default: TIMEOUT_DEFAULT },
  },
  required: ['url'],
  additionalProperties: false,
} as const;

function urlOf({ url }: Config): URL {
  const parsed = URL.parse(url);
  if (parsed === null || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) {
    throw new TerminalError(`url must be an http or https URL, got ${JSON.stringify(url)}`);
  }
  return parsed;
}

function bodyOf({ config, input }: TaskContext<Config>): Buffer | undefined {
  const { body, method } = config;
  if (body === undefined && (method === 'GET' || method === 'HEAD')) return undefined;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body ?? input));
}

function headersOf({ config, idempotencyKey, token }: TaskContext<Config>, body: Buffer | undefined) {
  const headers: Record<string, string> = { 'user-agent': 'distric' };
  if (body !== undefined)
    headers['content-type'] = typeof config.body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  for (const [name, value] of Object.entries(config.headers)) headers[name.toLowerCase()] = value;
  // Last, because a workflow must not be able to break the promises that they carry.
  headers['idempotency-key'] = idempotencyKey;
  headers['distric-fencing-token'] = String(token);
  if (body !== undefined) headers['content-length'] = String(body.length);
  return headers;
}

/** A kept connection may have been closed by the other side meanwhile: that is no answer, so it is asked once more, on a new one. */
async function exchange(open: (fresh: boolean) => ClientRequest, body: Buffer | undefined): Promise<Response> {
  const request = open(false);
  try {
    return await send(request, body);
  } catch (thrown) {
    const stale = request.reusedSocket && isReset(thrown);
    if (!stale) throw thrown;
    return send(open(true), body);
  }
}

function isReset(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === 'ECONNRESET';
}

function send(request: ClientRequest, body: Buffer | undefined): Promise<Response> {
  return new Promise((resolve, reject) => {
    request.once('error', reject);
    request.once('response', (response) => {
      readResponse(response).then(resolve, reject);
    });
    request.end(body);
  });
}

async function readResponse(response: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop destroys the response and its connection.
    if (bytes > RESPONSE_BYTES_MAX)
      throw new TerminalError(`the response is over the limit of ${RESPONSE_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  return { status: response.statusCode ?? 0, headers: response.headers, body: parsedBody(response, text) };
}

function parsedBody(response: IncomingMessage, text: string): unknown {
  if (!/[/+]json\b/i.test(response.headers['content-type'] ?? '')) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Labelled as JSON and is not: the reader gets what came.
    return text;
  }
}

function accept(response: Response, method: string, url: URL): Response {
  const { status } = response;
  if (status >= 200 && status < 300) return response;
  const text = `${method} ${url.host} answered ${status}`;
  if (status >= 500 || RETRYABLE_STATUSES.has(status)) throw new RetryableError(text);
  if (status >= 300 && status < 400) throw new TerminalError(`${text}; redirects are not followed`);
  throw new TerminalError(text);
}

function classified(thrown: unknown, what: string): Error {
  if (thrown instanceof TerminalError || thrown instanceof RetryableError) return thrown;
  return new RetryableError(`${what}: ${messageOf(thrown)}`, { cause: thrown });
}
