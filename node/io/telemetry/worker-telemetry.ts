import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { WorkerMetrics } from '../../metrics.ts';
import { LabelLimit } from './label-limit.ts';

const TASK_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800];
const TYPES_MAX = 500;

/** A worker's own reports. */
export class WorkerTelemetry implements WorkerMetrics {
  readonly #started: Counter<'type'>;
  readonly #finished: Counter<'type' | 'status'>;
  readonly #duration: Histogram<'type'>;
  readonly #running: Gauge;
  readonly #capacity: Gauge;
  readonly #connected: Gauge<'leader'>;
  readonly #types = new LabelLimit(TYPES_MAX);

  constructor(registry: Registry) {
    const registers = [registry];
    this.#started = new Counter({
      name: 'distric_worker_attempts_started_total',
      help: 'Attempts this worker began.',
      labelNames: ['type'],
      registers,
    });
    this.#finished = new Counter({
      name: 'distric_worker_attempts_finished_total',
      help: 'Attempts this worker ended, by result.',
      labelNames: ['type', 'status'],
      registers,
    });
    this.#duration = new Histogram({
      name: 'distric_worker_attempt_duration_seconds',
      help: 'Run time of one attempt.',
      labelNames: ['type'],
      buckets: TASK_SECONDS,
      registers,
    });
    this.#running = new Gauge({ name: 'distric_worker_slots_running', help: 'Attempts running now.', registers });
    this.#capacity = new Gauge({
      name: 'distric_worker_slots_capacity',
      help: 'Attempts that may run at once.',
      registers,
    });
    this.#connected = new Gauge({
      name: 'distric_worker_connected',
      help: '1 for the leader this worker has its session with; no series without one.',
      labelNames: ['leader'],
      registers,
    });
  }

  taskStarted(type: string): void {
    this.#started.inc({ type: this.#types.of(type) });
  }

  taskFinished(type: string, status: string, seconds: number): void {
    const label = this.#types.of(type);
    this.#finished.inc({ type: label, status });
    this.#duration.observe({ type: label }, seconds);
  }

  slots(running: number, capacity: number): void {
    this.#running.set(running);
    this.#capacity.set(capacity);
  }

  connected(leader: string | null): void {
    this.#connected.reset();
    if (leader !== null) this.#connected.set({ leader }, 1);
  }
}
