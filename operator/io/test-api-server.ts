/** For tests of the drivers: an API server of one namespace over HTTP, with versions, watches, and faults on demand. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RESOURCE_KINDS } from '../../api/resources.ts';
import type { KubeObject } from '../planner/model.ts';
import { KubeAccess } from './kube-config.ts';

const NAMESPACED = {
  Pod: 'pods',
  Lease: 'leases',
  ...Object.fromEntries(Object.entries(RESOURCE_KINDS).map(([kind, { plural }]) => [kind, plural])),
};
/** A group's own path, where it tells its kinds. */
const GROUP_PATH = /^\/(api\/v1|apis\/[^/]+\/[^/]+)$/;

export function accessTo(server: string): KubeAccess {
  const access = new KubeAccess();
  access.loadFromOptions({
    clusters: [{ name: 'c', server, skipTLSVerify: true }],
    users: [{ name: 'u', token: 'secret' }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u', namespace: 'shop' }],
    currentContext: 'x',
  });
  return access;
}

interface Seen {
  method: string;
  url: URL;
  contentType: string | undefined;
  body: unknown;
}

export class TestApiServer {
  readonly requests: Seen[] = [];
  /** Answers the next requests instead. */
  readonly faults: { status: number; reason: string }[] = [];
  readonly objects = new Map<string, KubeObject>();
  readonly watches = new Set<ServerResponse>();
  #version = 1;
  readonly #server: Server = createServer((request, response) => void this.#take(request, response));

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', () => resolve()));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  access(): KubeAccess {
    return accessTo(this.url);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** As somebody else would. */
  put(path: string, object: KubeObject): void {
    const type = this.objects.has(path) ? 'MODIFIED' : 'ADDED';
    this.#store(path, object);
    this.tell(type, this.objects.get(path));
  }

  remove(path: string): void {
    const object = this.objects.get(path);
    this.objects.delete(path);
    this.tell('DELETED', object);
  }

  tell(type: string, object: unknown): void {
    for (const response of this.watches) response.write(`${JSON.stringify({ type, object })}\n`);
  }

  endWatches(): void {
    for (const response of this.watches) response.end();
    this.watches.clear();
  }

  #store(path: string, object: KubeObject): KubeObject {
    const resourceVersion = String(++this.#version);
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion } };
    this.objects.set(path, stored);
    return stored;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const url = new URL(request.url ?? '/', 'http://test');
    const body = text === '' ? undefined : (JSON.parse(text) as KubeObject);
    const method = request.method ?? '';
    this.requests.push({ method, url, contentType: request.headers['content-type'], body });
    const answer = (status: number, value: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    const fault = this.faults.shift();
    if (fault !== undefined) {
      answer(fault.status, { reason: fault.reason, message: 'as ordered' });
    } else if (url.searchParams.has('watch')) {
      response.writeHead(200).flushHeaders();
      this.watches.add(response);
    } else this.#answer(method, url.pathname, body, answer);
  }

  #answer(
    method: string,
    path: string,
    body: KubeObject | undefined,
    answer: (status: number, value: unknown) => void,
  ): void {
    const there = this.objects.get(path);
    if (GROUP_PATH.test(path)) {
      const resources = Object.entries(NAMESPACED).map(([kind, name]) => ({ kind, name, namespaced: true }));
      answer(200, { kind: 'APIResourceList', apiVersion: 'v1', resources });
    } else if (method === 'GET' && there === undefined) {
      const items = [...this.objects].filter(([key]) => key.startsWith(`${path}/`)).map(([, object]) => object);
      const isList = /s$/.test(path);
      answer(isList ? 200 : 404, { items, metadata: { resourceVersion: String(this.#version) }, reason: 'NotFound' });
    } else if (method === 'GET') answer(200, there);
    else if (method === 'POST' && body !== undefined) {
      const key = `${path}/${body.metadata.name}`;
      if (this.objects.has(key)) answer(409, { reason: 'AlreadyExists' });
      else answer(201, this.#store(key, body));
    } else if (method === 'PUT' && body !== undefined) {
      if (there?.metadata.resourceVersion !== body.metadata.resourceVersion) answer(409, { reason: 'Conflict' });
      else answer(200, this.#store(path, body));
    } else if (method === 'DELETE') {
      this.objects.delete(path);
      answer(200, {});
    } else answer(200, body);
  }
}
