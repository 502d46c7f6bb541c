/** One HTTP request and its answer, as they are: no retries, no redirects, no interpretation of the status. */

export interface Answer<T = unknown> {
  status: number;
  headers: Headers;
  text: string;
  /** The decoded body; undefined when it is empty. */
  body: T;
}

export interface CallOptions {
  body?: string | Uint8Array<ArrayBuffer>;
  contentType?: string;
  headers?: Record<string, string>;
  timeoutMs?: number;
}

const TIMEOUT_MS = 15_000;

/** `server` is a base URL, with a key in the place of its user (see `withKey`); `path` is below /api/v1. Rejects when there is no whole answer. */
export async function call<T = unknown>(
  server: string,
  method: string,
  path: string,
  options: CallOptions = {},
): Promise<Answer<T>> {
  const { body, contentType = 'application/json', headers, timeoutMs = TIMEOUT_MS } = options;
  const url = new URL(`${server}/api/v1${path}`);
  const authorization = url.username === '' ? {} : { authorization: `Bearer ${url.username}` };
  // fetch takes no URL with a user in it.
  url.username = '';
  const response = await fetch(url, {
    method,
    headers: { ...authorization, ...(body === undefined ? {} : { 'content-type': contentType }), ...headers },
    body: body ?? null,
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: (text === '' ? undefined : JSON.parse(text)) as T,
  };
}

/** A base URL that carries the key for `call`, so that every helper need only know the server. */
export function withKey(server: string, apiKey: string | undefined): string {
  const url = new URL(server);
  url.username = apiKey ?? '';
  return url.href.replace(/\/$/, '');
}

/** The decoded body of a 200. */
export async function get<T>(server: string, path: string): Promise<T> {
  const { status, text, body } = await call<T>(server, 'GET', path);
  if (status !== 200) throw new Error(`GET ${path}: ${status} ${text.slice(0, 500)}`);
  return body;
}

/** Sends a document as JSON; the answer must be 2xx. */
export async function put(server: string, path: string, document: unknown): Promise<void> {
  const { status, text } = await call(server, 'PUT', path, { body: JSON.stringify(document) });
  if (status !== 200) throw new Error(`PUT ${path}: ${status} ${text.slice(0, 500)}`);
}

/** True when the request can not have reached the server. */
export function neverSent(error: unknown): boolean {
  // Read without instanceof: errors of fetch come from another realm than the tests.
  const cause = typeof error === 'object' && error !== null && 'cause' in error ? error.cause : undefined;
  return typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'ECONNREFUSED';
}
