/** Requests to the API server: few verbs, JSON in and out, each with a time limit. Nothing is retried here. */
import { ApiException, HttpMethod, PatchStrategy, Watch } from '@kubernetes/client-node';
import { FIELD_MANAGER } from '../planner/names.ts';
import type { KubeObject } from '../planner/model.ts';
import type { KubeAccess } from './kube-config.ts';
import { type Ask, type Kind, KubeObjects } from './kube-objects.ts';

const PAGE_ROWS = 500;
const DETAIL_CHARS_MAX = 500;

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

export interface List {
  items: KubeObject[];
  resourceVersion: string;
}

export interface WatchEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  object: KubeObject;
}

type Told = KubeObject & { code?: number; message?: string };

export class KubeClient {
  readonly namespace: string;
  readonly #objects: KubeObjects;
  readonly #watch: Watch;
  /** Requests since the start, for the metrics. */
  onRequest: (method: string, status: number) => void = () => undefined;

  constructor(access: KubeAccess) {
    this.namespace = access.namespace;
    this.#objects = access.makeApiClient(KubeObjects);
    this.#watch = new Watch(access);
  }

  async get(kind: Kind, namespace: string, name: string): Promise<KubeObject | undefined> {
    try {
      return await this.#json(HttpMethod.GET, await this.#pathOf(kind, namespace, name));
    } catch (error) {
      if (isStatus(error, 404)) return undefined;
      throw error;
    }
  }

  /** Whether this API server has the kind now. */
  async knows(kind: Kind): Promise<boolean> {
    this.#objects.forgetKinds();
    try {
      await this.#path('list', kind);
      return true;
    } catch (error) {
      if (isStatus(error, 404)) return false;
      throw error;
    }
  }

  /** All of them, a page at a time. */
  async list(kind: Kind, namespace: string | undefined, labelSelector?: string): Promise<List> {
    const items: KubeObject[] = [];
    const path = await this.#path('list', kind, namespace);
    let next: string | undefined;
    for (;;) {
      const query = { limit: String(PAGE_ROWS), labelSelector, continue: next };
      const page = await this.#json<{
        items: KubeObject[];
        metadata: { resourceVersion: string; continue?: string };
      }>(HttpMethod.GET, path, { query });
      for (const item of page.items) items.push({ ...item, ...kind });
      next = page.metadata.continue;
      if (next === undefined || next === '') return { items, resourceVersion: page.metadata.resourceVersion };
    }
  }

  /** Tells events after the `resourceVersion` of `query` until the server ends it, or `signal` does. */
  async watch(
    kind: Kind,
    namespace: string | undefined,
    query: Record<string, string | number | undefined>,
    signal: AbortSignal,
    onEvent: (event: WatchEvent) => void,
  ): Promise<void> {
    const path = await this.#path('list', kind, namespace);
    const ended = Promise.withResolvers<undefined>();
    let isOver = signal.aborted;
    const tell = (type: string, object: Told): void => {
      if (isOver) return;
      try {
        if (type === 'ERROR')
          throw new KubeError(object.code ?? 500, 'WatchError', object.message ?? 'the watch failed');
        onEvent({ type: type as WatchEvent['type'], object: { ...object, ...kind } });
      } catch (error) {
        // The library would go on as if nothing had been thrown.
        ended.reject(error);
      }
    };
    const onAbort = (): void => ended.resolve(undefined);
    signal.addEventListener('abort', onAbort);
    const connection = this.#watch.watch(path, { ...query, allowWatchBookmarks: true }, tell, (error: unknown) => {
      if (error === null || error === undefined) ended.resolve(undefined);
      else ended.reject(failureOf('GET', path, error));
    });
    connection.catch(ended.reject);
    try {
      if (!signal.aborted) await ended.promise;
      this.onRequest('GET', 200);
    } catch (error) {
      this.onRequest('GET', error instanceof KubeError ? error.status : 0);
      throw error;
    } finally {
      isOver = true;
      signal.removeEventListener('abort', onAbort);
      // It may not even have been answered yet: nobody waits for that.
      connection.then((controller) => controller.abort()).catch(() => undefined);
    }
  }

  async create(object: KubeObject): Promise<KubeObject> {
    const path = await this.#path('create', object, object.metadata.namespace);
    return this.#json(HttpMethod.POST, path, { body: object, query: { fieldManager: FIELD_MANAGER } });
  }

  /** Server-side apply: the fields of `object`, and no others, are this program's. */
  async apply(object: KubeObject, subresource = ''): Promise<KubeObject> {
    const { name, namespace } = object.metadata;
    return this.#json(HttpMethod.PATCH, (await this.#pathOf(object, namespace, name)) + subresource, {
      query: { fieldManager: FIELD_MANAGER, force: 'true' },
      contentType: PatchStrategy.ServerSideApply,
      body: object,
    });
  }

  /** JSON merge patch, by another manager than apply: neither takes fields from the other. */
  async patch(kind: Kind, namespace: string, name: string, body: unknown, subresource?: string): Promise<KubeObject> {
    const path = await this.#pathOf(kind, namespace, name);
    return this.#json(HttpMethod.PATCH, subresource === undefined ? path : `${path}/${subresource}`, {
      query: { fieldManager: `${FIELD_MANAGER}-patch` },
      contentType: PatchStrategy.MergePatch,
      body,
    });
  }

  async replace(object: KubeObject): Promise<KubeObject> {
    const { name, namespace } = object.metadata;
    return this.#json(HttpMethod.PUT, await this.#pathOf(object, namespace, name), { body: object });
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
      await this.#json(HttpMethod.DELETE, await this.#pathOf(kind, namespace, name), { body });
    } catch (error) {
      if (!isStatus(error, 404, 409)) throw error;
    }
  }

  #pathOf(kind: Kind, namespace: string | undefined, name: string): Promise<string> {
    return this.#path('read', kind, namespace, name);
  }

  async #path(verb: 'create' | 'list' | 'read', kind: Kind, namespace?: string, name?: string): Promise<string> {
    let path: string | undefined;
    try {
      path = await this.#objects.path(verb, kind, namespace, name);
    } catch (error) {
      throw failureOf('GET', kind.apiVersion, error);
    }
    if (path !== undefined) return path;
    throw new KubeError(404, 'NotFound', `the API server has no ${kind.kind} of ${kind.apiVersion}`);
  }

  async #json<T = KubeObject>(method: HttpMethod, path: string, ask: Ask = {}): Promise<T> {
    try {
      const { status, text } = await this.#objects.ask(method, path, ask);
      this.onRequest(method, status);
      if (status < 200 || status >= 300) throw refusal(status, text);
      return JSON.parse(text) as T;
    } catch (error) {
      if (error instanceof KubeError) throw error;
      this.onRequest(method, 0);
      throw failureOf(method, path, error);
    }
  }
}

/** From what the library throws: a refusal of the server, or that nobody answers. */
function failureOf(method: string, path: string, error: unknown): KubeError {
  if (error instanceof KubeError) return error;
  if (error instanceof ApiException) return refusal(error.code, String(error.body));
  const { message, cause, statusCode } = error as Error & { statusCode?: number };
  if (statusCode !== undefined) return new KubeError(statusCode, '', `${method} ${path}: ${message}`);
  const why = cause instanceof Error ? `${message}: ${cause.message}` : message;
  return new KubeError(0, 'Unreachable', `${method} ${path}: ${why}`);
}

function refusal(status: number, text: string): KubeError {
  try {
    const { reason = '', message = text } = JSON.parse(text) as { reason?: string; message?: string };
    return new KubeError(status, reason, message);
  } catch {
    return new KubeError(status, '', text.slice(0, DETAIL_CHARS_MAX));
  }
}
