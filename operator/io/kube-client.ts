/** Requests to the API server: few verbs, JSON in and out, each with a time limit. Nothing is retried here. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { FIELD_MANAGER } from '../planner/names.ts';
import type { KubeObject } from '../planner/model.ts';
import { type Kind, kindPath } from './kinds.ts';
import type { KubeAccess } from './kube-config.ts';

const ANSWER_MS_MAX = 30_000;
const PAGE_ROWS = 500;
const CONNECTIONS_MAX = 32;

/** What the API server answered instead. 0: no answer at all. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

export function isStatus(error: unknown, ...statuses: readonly number[]): boolean {
  return error instanceof KubeError && statuses.includes(error.status);
}

interface Ask {
  method: string;
  path: string;
  query?: Record<string, string | undefined>;
  body?: unknown;
  contentType?: string;
  signal?: AbortSignal;
}

export interface List {
  items: KubeObject[];
  resourceVersion: string;
}

export interface WatchEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: KubeObject & { code?: number; message?: string };
}

export class KubeClient {
  readonly namespace: string;
  readonly #access: KubeAccess;
  readonly #agent: HttpAgent | HttpsAgent;
  /** Requests since the start, for the metrics. */
  onRequest: (method: string, status: number) => void = () => undefined;

  constructor(access: KubeAccess) {
    this.#access = access;
    this.namespace = access.namespace;
    const { ca, certificate: cert, key } = access;
    const options = { keepAlive: true, maxSockets: CONNECTIONS_MAX };
    this.#agent = access.server.startsWith('http:')
      ? new HttpAgent(options)
      : new HttpsAgent({
          ...options,
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert }),
          ...(key === undefined ? {} : { key }),
          ...(access.insecureSkipVerify === true ? { rejectUnauthorized: false } : {}),
        });
  }

  async get(kind: Kind, namespace: string, name: string): Promise<KubeObject | undefined> {
    try {
      return await this.#json({ method: 'GET', path: kindPath(kind, namespace, name) });
    } catch (error) {
      if (isStatus(error, 404)) return undefined;
      throw error;
    }
  }

  /** Whether this API server has the kind at all. */
  async knows(kind: Kind): Promise<boolean> {
    try {
      await this.#json({ method: 'GET', path: kindPath(kind), query: { limit: '1' } });
      return true;
    } catch (error) {
      if (isStatus(error, 404)) return false;
      if (isStatus(error, 403)) return true;
      throw error;
    }
  }

  /** All of them, a page at a time. */
  async list(kind: Kind, namespace: string | undefined, labelSelector?: string): Promise<List> {
    const items: KubeObject[] = [];
    let next: string | undefined;
    for (;;) {
      const query = { limit: String(PAGE_ROWS), labelSelector, continue: next };
      const page = await this.#json<{
        items: KubeObject[];
        metadata: { resourceVersion: string; continue?: string };
      }>({ method: 'GET', path: kindPath(kind, namespace), query });
      for (const item of page.items) items.push({ ...item, ...kind });
      next = page.metadata.continue;
      if (next === undefined || next === '') return { items, resourceVersion: page.metadata.resourceVersion };
    }
  }

  /** Events after `resourceVersion` until the server ends it, or `signal` does. */
  async *watch(
    kind: Kind,
    namespace: string | undefined,
    query: Record<string, string | undefined>,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent> {
    const response = await this.#open({
      method: 'GET',
      path: kindPath(kind, namespace),
      query: { ...query, watch: '1', allowWatchBookmarks: 'true' },
      signal,
    });
    if ((response.statusCode ?? 0) !== 200) throw await failureOf(response);
    response.setEncoding('utf8');
    let rest = '';
    for await (const chunk of response) {
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '') continue;
        const event = JSON.parse(line) as WatchEvent;
        yield event.type === 'ERROR' ? event : { ...event, object: { ...event.object, ...kind } };
      }
    }
  }

  create(object: KubeObject): Promise<KubeObject> {
    const path = kindPath(object, object.metadata.namespace);
    return this.#json({ method: 'POST', path, body: object, query: { fieldManager: FIELD_MANAGER } });
  }

  /** Server-side apply: the fields of `object`, and no others, are this program's. */
  apply(object: KubeObject, subresource = ''): Promise<KubeObject> {
    const { name, namespace } = object.metadata;
    return this.#json({
      method: 'PATCH',
      path: `${kindPath(object, namespace, name)}${subresource}`,
      query: { fieldManager: FIELD_MANAGER, force: 'true' },
      contentType: 'application/apply-patch+yaml',
      body: object,
    });
  }

  /** JSON merge patch, by another manager than apply: neither takes fields from the other. */
  patch(kind: Kind, namespace: string, name: string, body: unknown, subresource?: string): Promise<KubeObject> {
    return this.#json({
      method: 'PATCH',
      path: `${kindPath(kind, namespace, name)}${subresource === undefined ? '' : `/${subresource}`}`,
      query: { fieldManager: `${FIELD_MANAGER}-patch` },
      contentType: 'application/merge-patch+json',
      body,
    });
  }

  replace(object: KubeObject): Promise<KubeObject> {
    const { name, namespace } = object.metadata;
    return this.#json({ method: 'PUT', path: kindPath(object, namespace, name), body: object });
  }

  /** One that is gone already, or is another by now, is no failure. */
  async delete(kind: Kind, namespace: string, name: string, uid?: string, orphan = false): Promise<void> {
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: orphan ? 'Orphan' : 'Background',
      ...(uid === undefined ? {} : { preconditions: { uid } }),
    };
    try {
      await this.#json({ method: 'DELETE', path: kindPath(kind, namespace, name), body });
    } catch (error) {
      if (!isStatus(error, 404, 409)) throw error;
    }
  }

  async #json<T = KubeObject>(ask: Ask): Promise<T> {
    const response = await this.#open({ ...ask, signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    const status = response.statusCode ?? 0;
    if (status < 200 || status >= 300) throw await failureOf(response);
    return JSON.parse(await textOf(response)) as T;
  }

  #open({ method, path, query = {}, body, contentType = 'application/json', signal }: Ask): Promise<IncomingMessage> {
    const url = new URL(path, this.#access.server);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
    const token = this.#access.token?.();
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      accept: 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      // Node adds no length to a DELETE by itself, and the body would run into the next request.
      ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
    };
    return new Promise((resolve, reject) => {
      const options = { method, headers, agent: this.#agent, ...(signal === undefined ? {} : { signal }) };
      const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
      const request = send(url, options, (response) => {
        this.onRequest(method, response.statusCode ?? 0);
        resolve(response);
      });
      request.on('error', (error) => {
        this.onRequest(method, 0);
        reject(new KubeError(0, 'Unreachable', `${method} ${path}: ${error.message}`));
      });
      request.end(text);
    });
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

async function failureOf(response: IncomingMessage): Promise<KubeError> {
  const status = response.statusCode ?? 0;
  const text = await textOf(response);
  try {
    const { reason = '', message = text } = JSON.parse(text) as { reason?: string; message?: string };
    return new KubeError(status, reason, message);
  } catch {
    return new KubeError(status, '', text.slice(0, 500));
  }
}
