/**
 * A small client of the REST interface.
 *
 * 1. A server that cannot be reached is left out: the next one gets the request.
 * 2. 429 and 503 mean that nothing was kept, so any request may go to the next server, until the time is up.
 * 3. After a cut connection, a time-out or 504 the outcome is unknown: only a request that may be repeated goes on.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FieldError } from '../base/errors.ts';
import { Exchange, UNTRUSTED, type ClientTls } from './exchange.ts';
import { CliError, EXIT, exitCodeOfStatus } from './exit-code.ts';
import { singleLine } from './terminal.ts';

export type QueryValue = string | number | boolean | undefined;

export interface RestRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below /api/v1, such as `/rules`; ids in it are already encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, QueryValue>>;
  readonly body?: string;
  readonly contentType?: string;
  readonly idempotencyKey?: string;
  /** Set when a second time changes nothing; so it is for GET, PUT, DELETE and with an idempotency key. */
  readonly repeatable?: boolean;
}

const TEXT_CHARS_MAX = 2_000;

function harmless({ field, reason }: FieldError): FieldError {
  return { field: singleLine(field, TEXT_CHARS_MAX), reason: singleLine(reason, TEXT_CHARS_MAX) };
}

/** A refusal by the server (RFC 9457), with the fields it names. */
export class ProblemError extends CliError {
  override readonly name = 'ProblemError';
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, detail: string, fields: readonly FieldError[]) {
    super(exitCodeOfStatus(status), `${singleLine(code)}: ${singleLine(detail, TEXT_CHARS_MAX)}`, fields.map(harmless));
    this.status = status;
    this.code = code;
  }
}

const TIMEOUT_MS = 10_000;
const BACKOFF_MS = 100;
const BACKOFF_MS_MAX = 1_000;

/** Reasons after which not a byte of the request can have been handled. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  // What fetch says of ports that it never connects to.
  'bad port',
]);

type Attempt =
  | { kind: 'answer'; body: unknown }
  | { kind: 'refused'; error: CliError }
  | { kind: 'busy'; error: CliError }
  | { kind: 'down'; error: CliError };

export class RestClient {
  readonly servers: readonly string[];
  readonly #timeoutMs: number;
  readonly #apiKey: string | undefined;
  readonly #exchange: Exchange;
  readonly #tls: ClientTls | undefined;
  #preferred = 0;

  /** `servers` are base URLs, tried in order, beginning with the one that answered last; all of them get the key. */
  constructor(servers: readonly string[], timeoutMs: number = TIMEOUT_MS, apiKey?: string, tls?: ClientTls) {
    this.servers = servers;
    this.#timeoutMs = timeoutMs;
    this.#apiKey = apiKey;
    this.#exchange = new Exchange(tls);
    this.#tls = tls;
  }

  /** As this one, of one coordinator of the same cluster, at `host:port`. */
  at(address: string): RestClient {
    const { protocol } = new URL(this.servers[0] ?? 'http://localhost');
    return new RestClient([`${protocol}//${address}`], this.#timeoutMs, this.#apiKey, this.#tls);
  }

  get<T>(path: string, query: Readonly<Record<string, QueryValue>> = {}): Promise<T> {
    return this.request<T>({ method: 'GET', path, query });
  }

  put<T>(path: string, document: unknown): Promise<T> {
    return this.request<T>({ method: 'PUT', path, body: JSON.stringify(document) });
  }

  /** The decoded body of a 2xx answer. It comes from a server of this very package, so its shape is not checked again. */
  async request<T>(request: RestRequest): Promise<T> {
    const deadline = performance.now() + this.#timeoutMs;
    const failures: CliError[] = [];
    for (let round = 0; ; round++) {
      failures.length = 0;
      let busy = false;
      for (let turn = 0; turn < this.servers.length; turn++) {
        const index = (this.#preferred + turn) % this.servers.length;
        const attempt = await this.#attempt(this.servers[index] ?? '', request, deadline);
        if (attempt.kind === 'answer' || attempt.kind === 'refused') this.#preferred = index;
        if (attempt.kind === 'answer') return attempt.body as T;
        if (attempt.kind === 'refused') throw attempt.error;
        busy ||= attempt.kind === 'busy';
        failures.push(attempt.error);
        if (performance.now() >= deadline) throw unavailable(failures);
      }
      const pauseMs = Math.min(BACKOFF_MS * 2 ** round, BACKOFF_MS_MAX);
      if (!busy || performance.now() + pauseMs >= deadline) throw unavailable(failures);
      await delay(pauseMs);
    }
  }

  /**
   * The body of a GET as it comes, from the first server that has one; `timeoutMs` is until its headers. It is not tried
   * again once it has begun.
   */
  async stream(path: string, timeoutMs: number): Promise<AsyncIterable<Uint8Array>> {
    const failures: CliError[] = [];
    for (const server of this.servers) {
      const request = { method: 'GET', path } as const;
      const headers = { ...headersOf(request, this.#apiKey), accept: '*/*' };
      try {
        const { status, body } = await this.#exchange.open(urlOf(server, request), {
          method: 'GET',
          headers,
          timeoutMs,
        });
        if (status === 200) return body;
        const error = problemOf(status, await textOf(body));
        if (status !== 429 && status !== 503) throw error;
        failures.push(error);
      } catch (error) {
        const attempt = failedAttempt(server, error, true);
        if (attempt.kind === 'refused') throw attempt.error;
        if (attempt.kind === 'down') failures.push(attempt.error);
      }
    }
    throw unavailable(failures);
  }

  async #attempt(server: string, request: RestRequest, deadline: number): Promise<Attempt> {
    const repeatable = request.repeatable ?? (request.method !== 'POST' || request.idempotencyKey !== undefined);
    const leftMs = Math.max(1, Math.ceil(deadline - performance.now()));
    // A frozen server must leave time for the next one; a request that can't be repeated has no next one.
    const attemptMs = repeatable ? Math.min(leftMs, Math.max(1_000, Math.ceil(this.#timeoutMs / 3))) : leftMs;
    try {
      const { status, text } = await this.#exchange.send(urlOf(server, request), {
        method: request.method,
        headers: headersOf(request, this.#apiKey),
        body: request.body,
        timeoutMs: attemptMs,
      });
      if (status >= 200 && status < 300) {
        return { kind: 'answer', body: text === '' ? undefined : parseBody(server, text) };
      }
      const error = problemOf(status, text);
      const nothingKept = status === 429 || status === 503;
      return { kind: nothingKept || (status === 504 && repeatable) ? 'busy' : 'refused', error };
    } catch (error) {
      return failedAttempt(server, error, repeatable);
    }
  }
}

/** Of an answer that is no body but a problem. */
async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

function urlOf(server: string, request: RestRequest): string {
  const url = new URL(`/api/v1${request.path}`, server);
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  return url.href;
}

function headersOf(request: RestRequest, bearer: string | undefined): Record<string, string> {
  const headers: Record<string, string> = { accept: 'application/json, application/problem+json' };
  if (request.body !== undefined) headers['content-type'] = request.contentType ?? 'application/json';
  if (bearer !== undefined) headers['authorization'] = `Bearer ${bearer}`;
  if (request.idempotencyKey !== undefined) headers['idempotency-key'] = request.idempotencyKey;
  return headers;
}

function parseBody(server: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CliError(EXIT.FAILURE, `${server} answered something that is not JSON: is it a DistriC coordinator?`);
  }
}

interface Problem {
  code?: unknown;
  title?: unknown;
  detail?: unknown;
  errors?: unknown;
}

/** Reads problem+json; any other body (a proxy's page) is quoted in short. */
export function problemOf(status: number, text: string): ProblemError {
  let problem: Problem = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) problem = parsed;
  } catch {
    problem = { detail: text.slice(0, 200) };
  }
  const code = typeof problem.code === 'string' ? problem.code : `HTTP_${String(status)}`;
  const detail = [problem.detail, problem.title].find((part) => typeof part === 'string' && part !== '');
  const fields = Array.isArray(problem.errors) ? problem.errors.filter(isFieldError) : [];
  return new ProblemError(status, code, typeof detail === 'string' ? detail : 'no reason given', fields);
}

function isFieldError(value: unknown): value is FieldError {
  if (typeof value !== 'object' || value === null || !('field' in value) || !('reason' in value)) return false;
  return typeof value.field === 'string' && typeof value.reason === 'string';
}

function failedAttempt(server: string, error: unknown, repeatable: boolean): Attempt {
  if (error instanceof CliError) return { kind: 'refused', error };
  const reason = networkReason(error);
  if (UNTRUSTED.has(reason)) {
    const advice = "its certificate is not trusted: give the cluster's authority by --ca or DISTRIC_CA";
    return { kind: 'down', error: new CliError(EXIT.UNAVAILABLE, `${server}: ${reason}: ${advice}`) };
  }
  if (NEVER_SENT.has(reason) || repeatable) {
    return { kind: 'down', error: new CliError(EXIT.UNAVAILABLE, `${server}: ${reason}`) };
  }
  const message = `${server} gave no answer (${reason}): the outcome is unknown, and the request can't be repeated safely`;
  return { kind: 'refused', error: new CliError(EXIT.FAILURE, message) };
}

/** Read without instanceof: fetch's errors may come from another realm. */
function networkReason(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  const { name, message, cause, code: own } = error as Record<'name' | 'message' | 'cause' | 'code', unknown>;
  if (name === 'TimeoutError') return 'no answer in time';
  if (typeof own === 'string' && own !== 'ABORT_ERR') return own;
  if (typeof cause === 'object' && cause !== null) {
    const { name: kind, code, message: reason } = cause as Record<'name' | 'code' | 'message', unknown>;
    if (kind === 'TimeoutError') return 'no answer in time';
    if (typeof code === 'string') return code;
    if (typeof reason === 'string') return reason;
  }
  return typeof message === 'string' ? message : 'unknown network error';
}

function unavailable(failures: readonly CliError[]): CliError {
  const last = failures.findLast((failure) => failure instanceof ProblemError);
  if (last !== undefined) return last;
  const lines = failures.map((failure) => `  ${failure.message}`);
  return new CliError(EXIT.UNAVAILABLE, ['no server of the cluster answered', ...lines].join('\n'));
}
