/** The operator as a whole: watches, queue, controllers. */
import type { Server } from 'node:http';
import { pino, type Logger } from 'pino';
import { DistricError } from '../../base/errors.ts';
import type { KubeObject } from '../planner/model.ts';
import { ClusterController } from './cluster-controller.ts';
import { clusterOf, DocumentController } from './document-controller.ts';
import { Events } from './events.ts';
import { Executor } from './executor.ts';
import { kubeAccess } from './kube-config.ts';
import { KubeClient } from './kube-client.ts';
import { LeaderElection } from './leader-election.ts';
import { Links } from './links.ts';
import { OperatorMetrics, serveObservability } from './observability.ts';
import type { OperatorSettings } from './settings.ts';
import { type DocumentKind, Store } from './store.ts';
import { WorkQueue } from './work-queue.ts';

/** Everything is looked at anew, whether or not something was told. */
const RESYNC_MS = 5 * 60_000;
const LEASE_NAME = 'distric-operator';
const OPTIONAL_KINDS = ['PodMonitor', 'PrometheusRule'];
export const EXIT_CRASH = 137;

export class Operator {
  readonly #settings: OperatorSettings;
  readonly #client: KubeClient;
  readonly #store: Store;
  readonly #queue: WorkQueue;
  readonly #metrics: OperatorMetrics;
  readonly #election: LeaderElection;
  readonly #log: Logger;
  readonly #knownKinds = new Set<string>();
  readonly #clusters: ClusterController;
  readonly #documents: DocumentController;
  #server: Server | undefined;
  #resync: NodeJS.Timeout | undefined;
  #isReady = false;
  /** Everything was listed: before that what is missing may only not be known yet, and nothing is decided. */
  #isSynced = false;

  constructor(
    settings: OperatorSettings,
    env: Readonly<Record<string, string | undefined>>,
    exit: (code: number) => void,
  ) {
    this.#settings = settings;
    this.#log = pino({ level: settings.logLevel, messageKey: 'msg', formatters: { level: (level) => ({ level }) } });
    this.#client = new KubeClient(kubeAccess(env));
    this.#queue = new WorkQueue({
      concurrency: settings.concurrency,
      work: (key) => this.#work(key),
      onFailure: (key, error, pauseMs) => {
        const reason = error instanceof Error ? error.message : String(error);
        this.#log.warn({ key, reason, pauseMs: Math.round(pauseMs) }, 'not done, tried again');
      },
    });
    this.#metrics = new OperatorMetrics({
      depth: () => this.#queue.depth,
      clusters: () => this.#store.all('DistricCluster').length,
    });
    this.#client.onRequest = (method, code) => this.#metrics.requests.inc({ method, code: String(code) });
    const log = this.#log;
    this.#store = new Store({
      client: this.#client,
      namespace: settings.watchNamespace,
      onCluster: (namespace, name) => this.#onCluster(namespace, name),
      onDocument: (kind, namespace, name) => this.#add(kind, namespace, name),
      log,
    });
    const events = new Events(this.#client);
    const links = new Links(this.#store);
    const crashAt = (point: string): void => {
      if (point === settings.crashAt) exit(EXIT_CRASH);
    };
    const shared = { client: this.#client, store: this.#store, links };
    this.#clusters = new ClusterController({
      ...shared,
      executor: new Executor({ client: this.#client, events, crashAt, log }),
      defaultImage: settings.nodeImage,
      knownKinds: this.#knownKinds,
    });
    this.#documents = new DocumentController({ ...shared, events, onSynced: (resource) => this.#onSynced(resource) });
    this.#election = new LeaderElection({
      client: this.#client,
      namespace: this.#client.namespace,
      name: LEASE_NAME,
      identity: settings.identity,
      onLost: (reason) => {
        log.error({ reason }, 'the lead is lost: the process ends');
        exit(1);
      },
    });
  }

  async start(): Promise<void> {
    this.#server = await serveObservability(this.#settings.metricsPort, this.#metrics.registry, () => this.#isReady);
    // One that waits for the lease is ready to take over.
    this.#isReady = true;
    if (this.#settings.leaderElection && !(await this.#election.acquire())) return;
    this.#metrics.leader.set(1);
    this.#log.info({ identity: this.#settings.identity }, 'leads');
    await this.#learnKinds();
    await this.#store.start();
    this.#isSynced = true;
    this.#resync = setInterval(() => {
      void this.#learnKinds().catch(() => undefined);
      this.#addAll();
    }, RESYNC_MS);
    this.#addAll();
    this.#log.info({ namespace: this.#settings.watchNamespace ?? 'all' }, 'watches');
  }

  /** What is under way is finished, and the next operator may begin. */
  async stop(): Promise<void> {
    this.#isReady = false;
    clearInterval(this.#resync);
    await this.#queue.stop();
    await this.#store.stop();
    await this.#election.release();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  async #learnKinds(): Promise<void> {
    for (const kind of OPTIONAL_KINDS) {
      const isKnown = await this.#client.knows({ apiVersion: 'monitoring.coreos.com/v1', kind }).catch(() => false);
      if (isKnown) this.#knownKinds.add(kind);
      else this.#knownKinds.delete(kind);
    }
  }

  #addAll(): void {
    for (const kind of ['DistricCluster', 'Rule', 'Workflow'] as const) {
      for (const { metadata } of this.#store.all(kind)) {
        this.#add(kind, metadata.namespace ?? '', metadata.name);
      }
    }
  }

  #add(kind: 'DistricCluster' | DocumentKind, namespace: string, name: string): void {
    if (this.#isSynced) this.#queue.add(`${kind}/${namespace}/${name}`);
  }

  #onCluster(namespace: string, name: string): void {
    this.#add('DistricCluster', namespace, name);
    if (this.#store.get('DistricCluster', namespace, name) !== undefined) return;
    // It has gone: what belonged to it need not wait for anybody.
    for (const kind of ['Rule', 'Workflow'] as const) this.#addDocuments(kind, namespace, name);
  }

  #onSynced(resource: KubeObject): void {
    if (resource.kind === 'Workflow')
      this.#addDocuments('Rule', resource.metadata.namespace ?? '', clusterOf(resource));
  }

  #addDocuments(kind: DocumentKind, namespace: string, cluster: string): void {
    for (const document of this.#store.all(kind)) {
      if (document.metadata.namespace !== namespace || clusterOf(document) !== cluster) continue;
      this.#add(kind, namespace, document.metadata.name);
    }
  }

  async #work(key: string): Promise<number | undefined> {
    const [kind = '', namespace = '', name = ''] = key.split('/');
    const end = this.#metrics.reconcile.startTimer({ kind });
    try {
      const afterMs =
        kind === 'DistricCluster'
          ? await this.#clusters.reconcile(namespace, name)
          : await this.#documents.reconcile(kind as DocumentKind, namespace, name);
      end({ outcome: 'ok' });
      return afterMs;
    } catch (error) {
      end({ outcome: 'error' });
      if (error instanceof DistricError) this.#log.error({ key, fields: error.fields }, error.message);
      throw error;
    }
  }
}
