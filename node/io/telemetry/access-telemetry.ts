import { Counter, type Registry } from 'prom-client';

/** Requests that were not let in. */
export class AccessTelemetry {
  readonly #failures: Counter<'reason'>;
  readonly #limited: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#failures = new Counter({
      name: 'distric_auth_failures_total',
      help: 'Requests refused with 401 or 403, and failed tries refused with 429, by reason.',
      labelNames: ['reason'],
      registers,
    });
    this.#limited = new Counter({
      name: 'distric_rate_limited_total',
      help: 'Requests refused with 429: over the limit of their key, or too many failed tries from an address.',
      registers,
    });
  }

  authFailed(reason: string): void {
    this.#failures.inc({ reason });
  }

  rateLimited(): void {
    this.#limited.inc();
  }
}
