/** Events of Kubernetes: what was done, for people who look at a resource. Losing one costs nothing. */
import { randomBytes } from 'node:crypto';
import type { KubeObject } from '../planner/model.ts';
import { FIELD_MANAGER } from '../planner/names.ts';
import type { KubeClient } from './kube-client.ts';

/** The same event again within this time is left out. */
const QUIET_MS = 60_000;
const REMEMBERED_MAX = 1_000;

export class Events {
  readonly #client: KubeClient;
  readonly #recent = new Map<string, number>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  emit(about: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { name, namespace = 'default', uid, resourceVersion } = about.metadata;
    const key = `${about.kind}/${namespace}/${name}/${reason}/${message}`;
    const nowMs = Date.now();
    if (nowMs - (this.#recent.get(key) ?? -Infinity) < QUIET_MS) return;
    if (this.#recent.size >= REMEMBERED_MAX) this.#recent.clear();
    this.#recent.set(key, nowMs);
    const timestamp = new Date(nowMs).toISOString();
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${name}.${randomBytes(6).toString('hex')}`, namespace },
      involvedObject: { apiVersion: about.apiVersion, kind: about.kind, name, namespace, uid, resourceVersion },
      ...{ type, reason, message, count: 1, firstTimestamp: timestamp, lastTimestamp: timestamp },
      source: { component: FIELD_MANAGER },
      reportingComponent: FIELD_MANAGER,
      reportingInstance: FIELD_MANAGER,
    };
    this.#client.create(event).catch(() => undefined);
  }
}
