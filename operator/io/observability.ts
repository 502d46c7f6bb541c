/** The operator's own metrics and health, on one port. */
import { createServer, type Server } from 'node:http';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export class OperatorMetrics {
  readonly registry = new Registry();
  readonly reconcile = new Histogram({
    name: 'distric_operator_reconcile_duration_seconds',
    help: 'One look at one resource.',
    labelNames: ['kind', 'outcome'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 30],
    registers: [this.registry],
  });
  readonly requests = new Counter({
    name: 'distric_operator_api_requests_total',
    help: 'Requests to the API server; code 0 stands for no answer.',
    labelNames: ['method', 'code'],
    registers: [this.registry],
  });
  readonly leader = new Gauge({
    name: 'distric_operator_leader',
    help: '1 while this operator holds the lease.',
    registers: [this.registry],
  });

  constructor(counts: { depth: () => number; clusters: () => number }) {
    collectDefaultMetrics({ register: this.registry });
    const gauge = (name: string, help: string, value: () => number): Gauge =>
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.set(value());
        },
      });
    gauge('distric_operator_queue_depth', 'Resources that are due to be looked at.', counts.depth);
    gauge('distric_operator_clusters', 'DistricClusters that are watched.', counts.clusters);
  }
}

/** `/metrics`, `/health/live` and `/health/ready`. */
export async function serveObservability(port: number, registry: Registry, isReady: () => boolean): Promise<Server> {
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, text: string): void => {
      response.writeHead(status, { 'content-type': type }).end(text);
    };
    if (request.url === '/metrics') {
      void registry.metrics().then((text) => answer(200, registry.contentType, text));
    } else if (request.url === '/health/live') answer(200, 'text/plain', 'UP\n');
    else if (request.url === '/health/ready')
      answer(isReady() ? 200 : 503, 'text/plain', isReady() ? 'UP\n' : 'DOWN\n');
    else answer(404, 'text/plain', 'use /metrics, /health/live or /health/ready\n');
  });
  server.maxConnections = 100;
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => resolve());
  });
  return server;
}
