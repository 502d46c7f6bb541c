/** What clients do all the time: messages (some with keys), reads, changes of rules and workflows, cancels. */
import { Random } from '../../base/random.ts';
import type { QueryOutcome } from '../requests.ts';
import type { History } from './checks/history.ts';
import type { Client } from './client.ts';
import { MESSAGE_KINDS, randomRule, randomWorkflow, RULE_IDS, WORKFLOW_IDS } from './documents.ts';
import type { Roster } from './roster.ts';
import type { World } from './world.ts';

const CHANGE_GAP_US = 8_000_000;
const CANCEL_GAP_US = 5_000_000;
const BURST_MAX = 12;

export class Workload {
  readonly #world: World;
  readonly #client: Client;
  readonly #history: History;
  readonly #random: Random;
  #marker = 0;
  #version = 1;
  #stopped = false;

  constructor(world: World, client: Client, history: History) {
    this.#world = world;
    this.#client = client;
    this.#history = history;
    this.#random = Random.stream(world.seed, 'workload');
  }

  start(): void {
    const { messageGapUs, readGapUs } = this.#world.plan;
    for (const id of WORKFLOW_IDS) this.#putWorkflow(id);
    for (const id of RULE_IDS) this.#world.queue.after(3_000_000, () => this.#putRule(id));
    this.#every(messageGapUs, () => this.#submit());
    this.#every(readGapUs, () => this.#read());
    this.#every(CHANGE_GAP_US, () => this.#change());
    this.#every(CANCEL_GAP_US, () => this.#cancel());
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One message through whichever coordinator answers, and a read at each member. */
  probe(roster: Roster): void {
    this.#client.submit([this.#message(`probe-${this.#marker}`)], 'probe');
    for (const node of roster.members) {
      this.#client.insist(node, { kind: 'rules' }, () => roster.members.includes(node));
    }
  }

  /** At random intervals with this mean. */
  #every(gapUs: number, run: () => void): void {
    this.#world.queue.after(this.#random.integer(0, 2 * gapUs), () => {
      if (this.#stopped) return;
      run();
      this.#every(gapUs, run);
    });
  }

  #message(key: string | undefined) {
    const marker = ++this.#marker;
    const value = { n: marker, kind: this.#random.pick(MESSAGE_KINDS), amount: this.#random.integer(0, 100) };
    return { submission: this.#history.submission(marker, key), value };
  }

  #submit(): void {
    const random = this.#random;
    const count = random.chance(0.05) ? random.integer(2, BURST_MAX) : 1;
    const batch = Array.from({ length: count }, () =>
      this.#message(random.chance(0.5) ? `key-${this.#marker}` : undefined),
    );
    this.#client.submit(batch, 'shop');
    const keyed = batch.find(({ submission }) => submission.key !== undefined);
    // An impatient client sends the same twice, side by side.
    if (keyed !== undefined && random.chance(0.2)) {
      this.#world.counters.add('same key twice at once');
      this.#client.submit([keyed], 'shop');
    }
  }

  #change(): void {
    const random = this.#random;
    const fate = random.fraction();
    if (fate < 0.3) this.#putWorkflow(random.pick(WORKFLOW_IDS));
    else if (fate < 0.45) this.#client.command({ kind: 'deleteRule', id: random.pick(RULE_IDS) }, () => undefined);
    else this.#putRule(random.pick(RULE_IDS));
  }

  #putWorkflow(id: string): void {
    const workflow = randomWorkflow(this.#random, id, ++this.#version);
    this.#client.command({ kind: 'putWorkflow', workflow, mode: 'upsert' }, () => undefined);
  }

  #putRule(id: string): void {
    const rule = randomRule(this.#random, id, ++this.#version);
    this.#client.command({ kind: 'putRule', rule, mode: 'upsert' }, () => undefined);
  }

  #cancel(): void {
    const { instances } = this.#history;
    if (instances.length === 0) return;
    const id = this.#random.pick(instances.slice(-5));
    const cancel = { kind: 'cancelInstance', id } as const;
    this.#client.command(
      cancel,
      (outcome) => {
        if (outcome === undefined || 'error' in outcome) return;
        this.#history.onInstanceRead(id, textOf(outcome.result, 'status'), this.#world.queue.nowUs);
      },
      true,
    );
  }

  #read(): void {
    const random = this.#random;
    const { acknowledged, instances } = this.#history;
    const what = random.integer(0, 9);
    if (what < 6 && acknowledged.length > 0) {
      // The latest is what a stale answer would miss.
      const { id, submission } = random.pick(acknowledged.slice(random.chance(0.7) ? -1 : -20));
      this.#client.read({ kind: 'message', id }, (outcome, beganUs) => {
        this.#history.onMessageRead(submission, id, isFound(outcome), beganUs);
      });
    } else if (what < 8) {
      const id = random.pick(RULE_IDS);
      this.#client.read({ kind: 'rule', id }, (outcome, beganUs) => {
        this.#history.onRuleRead(id, outcome, beganUs);
      });
      this.#client.read({ kind: 'rules' }, (outcome, beganUs) => {
        if (isFound(outcome)) this.#history.onVersion('catalog', numberOf(outcome.result, 'catalog_version'), beganUs);
      });
    } else if (instances.length > 0) {
      const id = random.pick(instances.slice(-10));
      this.#client.read({ kind: 'instance', id }, (outcome, beganUs) => {
        this.#history.onInstanceRead(id, isFound(outcome) ? textOf(outcome.result, 'status') : undefined, beganUs);
      });
    }
  }
}

function isFound(outcome: QueryOutcome): outcome is Extract<QueryOutcome, { result: unknown }> {
  return 'result' in outcome;
}

export function numberOf(value: unknown, name: string): number {
  const found = (value as Record<string, unknown> | null)?.[name];
  return typeof found === 'number' ? found : 0;
}

export function textOf(value: unknown, name: string): string {
  const found = (value as Record<string, unknown> | null)?.[name];
  return typeof found === 'string' ? found : '';
}
