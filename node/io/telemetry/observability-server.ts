import { fastify, type FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import type { HealthRegistry } from './health.ts';

/** Probes and scrapers are few; anything more is a fault or an attack, and must not cost the node its memory. */
const CONNECTIONS_MAX = 100;
const REQUEST_TIMEOUT_MS = 10_000;

export interface ObservabilityOptions {
  host: string;
  /** 0 lets the system choose. */
  port: number;
  registry: Registry;
  health: HealthRegistry;
}

/**
 * `GET /metrics` (Prometheus text), `/health/live` (200 as long as the loop turns) and `/health/ready`
 * (`{"status", "checks": {component: {"status", "message"?}}}`; 503 when any check is DOWN), on a port of their own,
 * so that no load on the REST interface can starve a probe of a connection.
 */
export class ObservabilityServer {
  readonly #options: ObservabilityOptions;
  readonly #app: FastifyInstance;

  constructor(options: ObservabilityOptions) {
    this.#options = options;
    this.#app = fastify({
      logger: false,
      bodyLimit: 1_024,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionTimeout: REQUEST_TIMEOUT_MS,
      forceCloseConnections: true,
    });
    this.#app.server.maxConnections = CONNECTIONS_MAX;
    this.#routes();
  }

  #routes(): void {
    const { registry, health } = this.#options;
    this.#app.get('/metrics', async (_, reply) => reply.type(registry.contentType).send(await registry.metrics()));
    this.#app.get('/health/live', () => ({ status: 'UP' }));
    this.#app.get('/health/ready', (_, reply) => {
      const report = health.report();
      return reply.code(report.status === 'DOWN' ? 503 : 200).send(report);
    });
    this.#app.setNotFoundHandler((_, reply) =>
      reply.code(404).send({ status: 404, detail: 'use /metrics, /health/live or /health/ready' }),
    );
  }

  /** The address it listens on, the port being the real one. */
  async listen(): Promise<{ host: string; port: number }> {
    const { host, port } = this.#options;
    await this.#app.listen({ host, port });
    const address = this.#app.server.address();
    return { host, port: typeof address === 'object' && address !== null ? address.port : port };
  }

  async close(): Promise<void> {
    await this.#app.close();
  }
}
