/** For tests of the commands: a real HTTP server that keeps documents and messages in memory, in the shapes of api/rest.ts. */
import fastify from 'fastify';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { parseRule } from '../api/rule.ts';
import { parseWorkflow } from '../api/workflow.ts';
import type { NodeList } from '../api/nodes.ts';
import type { InstanceResource, KeyResource, MemberList, MessageResource } from '../api/rest.ts';
import type { WorkerResource } from '../api/workers.ts';
import { DistricError } from '../base/errors.ts';

interface SeenRequest {
  method: string;
  url: string;
  headers: Record<string, unknown>;
  body: string;
}

/** Answers the next request instead of the resource. `cut` closes the connection without an answer. */
type Disturbance = { status: number; code: string; detail: string } | { raw: string; status: number } | 'cut';

const INSTANCE: InstanceResource = {
  id: 'wf-abc123',
  workflow: 'fraud-check',
  revision: 2,
  status: 'FAILED',
  message_id: 'm-1',
  rule: 'high-value',
  created_at: new Date(2026, 0, 13, 10, 25).toISOString(),
  ended_at: new Date(2026, 0, 13, 10, 25, 3).toISOString(),
  tasks_running: 0,
  tasks_done: 1,
  tasks_total: 2,
  params: {},
  deadline_at: '2026-01-14T10:25:00.000Z',
  error: { code: 'TASK_FAILED', message: 'task score failed' },
  tasks: [
    { id: 'load', type: 'http', status: 'COMPLETED', attempts: 1, redispatches: 0, worker: 'worker-1' },
    {
      id: 'score',
      type: 'ml_inference',
      status: 'FAILED',
      attempts: 3,
      redispatches: 1,
      worker: 'worker-2',
      started_at: '2026-01-13T10:25:01.000Z',
      ended_at: '2026-01-13T10:25:01.250Z',
      error: 'no\u001b[31m model\nat all',
    },
  ],
};

export class RestPeer {
  readonly rules = new Map<string, unknown>();
  readonly workflows = new Map<string, object>();
  readonly messages: MessageResource[] = [];
  readonly requests: SeenRequest[] = [];
  readonly disturbances: Disturbance[] = [];
  url = '';
  /** Where the cluster status says that its leader is reached; undefined: nowhere. */
  leaderAddress: string | undefined = '127.0.0.1:2';
  readonly workers = new Map<string, WorkerResource>();
  /** What `/cluster/backup` gives. */
  backup: Buffer = Buffer.alloc(0);
  /** One after the other is the answer about the members; the last one stays. */
  memberLists: MemberList[] = [];
  #catalogVersion = 122;
  readonly #app: FastifyInstance = fastify({ forceCloseConnections: true });

  async listen(): Promise<this> {
    this.#app.removeAllContentTypeParsers();
    this.#app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
    this.#app.addHook('preHandler', async (request, reply) => {
      const body = typeof request.body === 'string' ? request.body : '';
      this.requests.push({ method: request.method, url: request.url, headers: request.headers, body });
      const disturbance = this.disturbances.shift();
      if (disturbance === undefined) return;
      if (disturbance === 'cut') {
        reply.hijack();
        request.raw.socket.destroy();
      } else if ('raw' in disturbance) await reply.code(disturbance.status).send(disturbance.raw);
      else await problem(reply, disturbance.status, disturbance.code, disturbance.detail);
    });
    this.#app.setErrorHandler((error, _request, reply) => {
      if (!(error instanceof DistricError)) throw error;
      return problem(reply, error.status, error.code, error.message, error.fields);
    });
    this.#documents('/rules', this.rules, parseRule, () => ({
      rules: [...this.rules.values()],
      catalog_version: this.#catalogVersion,
    }));
    const withRevision = (value: unknown): object => ({ ...parseWorkflow(value), revision: 1, waiting_for_types: [] });
    this.#documents('/workflow-definitions', this.workflows, withRevision, () => ({
      workflows: [...this.workflows.values()],
    }));
    this.#instances();
    this.#messages();
    this.#keys();
    this.#app.get('/api/v1/cluster/status', () => statusWith(this.leaderAddress));
    this.#workers();
    this.#app.get('/api/v1/cluster/nodes', () => NODES);
    this.#members();
    this.#app.get('/api/v1/cluster/backup', () => this.backup);
    this.url = await this.#app.listen({ host: '127.0.0.1', port: 0 });
    return this;
  }

  close(): Promise<undefined> {
    return this.#app.close();
  }

  #documents<T>(base: string, kept: Map<string, T>, parse: (value: unknown) => T, list: () => object): void {
    const path = `/api/v1${base}/:id`;
    this.#app.get(`/api/v1${base}`, list);
    this.#app.get<{ Params: { id: string } }>(path, async ({ params: { id } }, reply) => {
      const document = kept.get(id);
      return document ?? notFound(reply, id);
    });
    this.#app.put<{ Params: { id: string }; Body: string }>(path, ({ params: { id }, body }) => {
      const document = parse(withoutAdded(JSON.parse(body)));
      kept.set(id, document);
      this.#catalogVersion++;
      return document;
    });
    this.#app.delete<{ Params: { id: string } }>(path, async ({ params: { id } }, reply) => {
      if (!kept.delete(id)) return notFound(reply, id);
      return reply.code(204).send();
    });
  }

  #instances(): void {
    this.#app.get('/api/v1/workflows', () => ({ instances: [INSTANCE], next_cursor: 'after-1' }));
    this.#app.get<{ Params: { id: string } }>('/api/v1/workflows/:id', async ({ params: { id } }, reply) =>
      id === INSTANCE.id ? INSTANCE : notFound(reply, id),
    );
    this.#app.post<{ Params: { id: string } }>('/api/v1/workflows/:id/cancel', async ({ params: { id } }, reply) =>
      id === INSTANCE.id ? INSTANCE : notFound(reply, id),
    );
  }

  #members(): void {
    const answer = (): MemberList | undefined => {
      return this.memberLists.length > 1 ? this.memberLists.shift() : this.memberLists[0];
    };
    this.#app.get('/api/v1/cluster/members', answer);
    for (const order of ['', '/promote', '/remove', '/:id/replace']) {
      this.#app.post(`/api/v1/cluster/members${order}`, answer);
    }
    this.#app.post('/api/v1/cluster/leader', () => ({ leader: STATUS.leader, term: STATUS.term }));
  }

  #workers(): void {
    const path = '/api/v1/workers/:id';
    this.#app.get('/api/v1/workers', () => ({ workers: [...this.workers.values()] }));
    this.#app.get<{ Params: { id: string } }>(path, async ({ params: { id } }, reply) => {
      return this.workers.get(id) ?? notFound(reply, id);
    });
    for (const order of ['drain', 'undrain']) {
      this.#app.post<{ Params: { id: string } }>(`${path}/${order}`, async ({ params: { id } }, reply) => {
        const worker = this.workers.get(id);
        if (worker === undefined) return notFound(reply, id);
        worker.status = order === 'drain' ? 'draining' : 'alive';
        // It ends what it runs before anybody looks again.
        worker.running = 0;
        return { id, draining: order === 'drain' };
      });
    }
  }

  #keys(): void {
    const issued = { ...KEY, key: `dk_${KEY.id}_${'s'.repeat(43)}` };
    this.#app.get('/api/v1/keys', () => ({ keys: [KEY, { ...KEY, id: 'k2', revoked_at: KEY.created_at }] }));
    this.#app.get('/api/v1/keys/:id', () => KEY);
    this.#app.post('/api/v1/keys', (_request, reply) => reply.code(201).send(issued));
    this.#app.post('/api/v1/keys/:id/rotate', () => issued);
    this.#app.delete('/api/v1/keys/:id', (_request, reply) => reply.code(204).send());
    const actor = { kind: 'key', id: 'k1', name: 'ci', role: 'operator' };
    const row = { index: 7, at: KEY.created_at, actor, action: 'rule.put', target: 'rule/r', outcome: 'ok' };
    this.#app.get('/api/v1/audit', () => ({
      entries: [{ ...row, before: null, after: { id: 'r' } }],
      next_cursor: '7',
    }));
  }

  #messages(): void {
    const keep = (payload: unknown): object => {
      const id = `m-${String(this.messages.length)}`;
      const rest = {
        received_at: '2026-01-13T10:25:00.000Z',
        matched_rules: [{ id: 'high-value', version: '1' }],
        instances: [],
      };
      this.messages.push({ message_id: id, status: 'accepted', payload, ...rest });
      const outcome = { workflows_triggered: ['fraud-check'], instances: [`i-${id}`], duplicate: false };
      return { message_id: id, status: 'accepted', ...outcome };
    };
    this.#app.post<{ Body: string }>('/api/v1/messages', async (request, reply) => {
      const lines = request.headers['content-type'] === 'application/x-ndjson';
      if (!lines && !request.body.startsWith('[')) return reply.code(202).send(keep(JSON.parse(request.body)));
      const values = lines ? request.body.trimEnd().split('\n') : (JSON.parse(request.body) as unknown[]);
      const items = values.map((value, index) => {
        const item: unknown = typeof value === 'string' ? JSON.parse(value) : value;
        if (typeof item === 'object') return { index, ...keep(item) };
        const errors = [{ field: '$', reason: 'must be an object' }];
        return { index, status: 'refused', code: 'INVALID_MESSAGE', detail: 'send an object', errors };
      });
      const refused = items.filter((item) => 'code' in item).length;
      return reply.code(202).send({ items, accepted: items.length - refused, refused, unknown: 0 });
    });
    this.#app.get('/api/v1/messages', () => ({ messages: this.messages }));
    this.#app.get<{ Params: { id: string } }>('/api/v1/messages/:id', async ({ params: { id } }, reply) => {
      const message = this.messages.find((candidate) => candidate.message_id === id);
      return message ?? notFound(reply, id);
    });
  }
}

const KEY: KeyResource = {
  id: 'k1',
  name: 'ci',
  role: 'operator',
  created_at: '2026-01-13T10:25:00.000Z',
  expires_at: '2026-01-14T10:25:00.000Z',
  revoked_at: null,
  rate_limit: null,
  last_used_at: null,
  previous_secret_until: null,
};

const STATUS = {
  cluster: 'distric',
  answered_by: 'coordinator-1',
  gossip: { state: 'blocked', alive: 5, suspected: 1, failed: 0 },
  leader: 'coordinator-1',
  term: 3,
  commit_index: 40,
  applied_index: 40,
  catalog_version: 122,
  coordinators: [
    {
      id: 'coordinator-1',
      state: 'leader',
      address: '127.0.0.1:1',
      http_address: '127.0.0.1:2',
      match_index: 40,
      lag: 0,
    },
    { id: 'coordinator-2', state: 'follower', address: '127.0.0.1:3', match_index: 39, lag: 1 },
    { id: 'coordinator-3', state: 'follower', address: '127.0.0.1:4' },
  ],
  workers: [
    { id: 'worker-1', address: '127.0.0.1:5', load: 0.25, status: 'alive', running: 4, capacity: 16, types: ['http'] },
    { id: 'worker-2', address: '127.0.0.1:6', load: 0, status: 'suspected', running: 0, capacity: 16, types: [] },
    { id: 'worker-3', address: '127.0.0.1:7', load: 0, status: 'alive', running: 0, capacity: 16, types: [] },
  ],
  counts: { messages: 10, instances_active: 2, tasks_ready: 0, tasks_running: 4 },
};

const NODES: NodeList = {
  answered_by: 'coordinator-1',
  gossip: 'on',
  nodes: [
    {
      id: 'coordinator-1',
      status: 'alive',
      for_ms: 90_000,
      incarnation: 1,
      role: 'coordinator',
      address: '127.0.0.1:1',
      version: '1.2.3',
      labels: [],
      raft_state: 'leader',
      raft_term: 3,
    },
    {
      id: 'worker-2',
      status: 'suspected',
      for_ms: 7_200_000,
      incarnation: 4,
      role: 'worker',
      address: '127.0.0.1:6',
      zone: 'eu-1a',
      version: '1.2.3',
      labels: ['gpu=yes', 'disk=ssd'],
    },
  ],
};

function statusWith(leaderAddress: string | undefined): object {
  const [leader, ...others] = STATUS.coordinators;
  const address = leaderAddress === undefined ? {} : { http_address: leaderAddress };
  return { ...STATUS, coordinators: [{ ...leader, http_address: undefined, ...address }, ...others] };
}

function withoutAdded(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => key !== 'revision' && key !== 'waiting_for_types'));
}

function notFound(reply: FastifyReply, id: string): FastifyReply {
  return problem(reply, 404, 'NOT_FOUND', `there is no ${JSON.stringify(id)}`);
}

function problem(
  reply: FastifyReply,
  status: number,
  code: string,
  detail: string,
  errors: unknown = [],
): FastifyReply {
  const type = `https://distric.io/errors/${code}`;
  return reply
    .code(status)
    .header('content-type', 'application/problem+json')
    .send(JSON.stringify({ type, title: code, status, code, detail, errors }));
}
