export type HealthStatus = 'UP' | 'DEGRADED' | 'DOWN';

export interface HealthCheck {
  status: HealthStatus;
  /** Why, in words; absent when there is nothing to say. */
  message?: string;
}

export interface HealthReport {
  /** The worst of all checks. */
  status: HealthStatus;
  checks: Record<string, HealthCheck>;
}

const SEVERITY: Record<HealthStatus, number> = { UP: 0, DEGRADED: 1, DOWN: 2 };

/**
 * What each part of the node says about itself. DOWN: this node cannot do its work, send it nothing.
 * DEGRADED: it works, and somebody should look.
 */
export class HealthRegistry {
  readonly #checks = new Map<string, () => HealthCheck>();

  /** Adds or replaces a component that tells its changes. Starts DOWN unless said otherwise: not yet started. */
  register(component: string, status: HealthStatus = 'DOWN', message = 'starting'): void {
    this.set(component, status, status === 'UP' ? undefined : message);
  }

  set(component: string, status: HealthStatus, message?: string): void {
    const check: HealthCheck = message === undefined ? { status } : { status, message };
    this.#checks.set(component, () => check);
  }

  /** Adds or replaces a component that is asked at each report. A probe that throws is DOWN. */
  probe(component: string, check: () => HealthCheck): void {
    this.#checks.set(component, check);
  }

  report(): HealthReport {
    const checks: Record<string, HealthCheck> = {};
    let status: HealthStatus = 'UP';
    for (const [component, ask] of this.#checks) {
      const check = answerOf(ask);
      checks[component] = check;
      if (SEVERITY[check.status] > SEVERITY[status]) status = check.status;
    }
    return { status, checks };
  }

  /** Whether the node should get work: DEGRADED still does. */
  get ready(): boolean {
    return this.report().status !== 'DOWN';
  }
}

function answerOf(ask: () => HealthCheck): HealthCheck {
  try {
    return ask();
  } catch (error) {
    return { status: 'DOWN', message: error instanceof Error ? error.message : String(error) };
  }
}
