/**
 * Rules and workflows as the cluster holds them.
 *
 * Invariants
 * 1. `version` rises with every change of a rule, so a batch evaluated against `version` saw exactly these rules.
 * 2. A rule names only workflows that exist; a workflow that a rule names is not deleted.
 * 3. What somebody owns (`managedBy`) is changed by its owner, and by others only when they insist.
 * 4. A revision that an instance may be pinned to stays readable.
 */
import type { Rule } from '../../../api/rule.ts';
import type { Workflow } from '../../../api/workflow.ts';
import { assert } from '../../../base/assert.ts';
import { DistricError, type FieldError } from '../../../base/errors.ts';
import { decodeText, encodeText, type Host } from '../../../base/host.ts';
import { type Plan, planOf } from '../workflow/plan.ts';
import { afterPrefix, revisionKey, ruleKey, workflowKey } from './keys.ts';
import type { Overlay } from './overlay.ts';

export const RULES_MAX = 20_000;
export const WORKFLOWS_MAX = 5_000;
/** Plans of earlier revisions kept compiled; the text stays in the state. */
const PLANS_CACHED_MAX = 1_000;

export type Change = 'created' | 'configured' | 'unchanged';
export type PutMode = 'create' | 'upsert';

interface Stored<T> {
  document: T;
  /** Of a workflow: 1, 2, 3 … by content. Of a rule: likewise. */
  revision: number;
}

interface Owned {
  id: string;
  managedBy?: string;
}

/** Throws MANAGED. */
function refuseOwned(what: string, { id, managedBy }: Owned, by: string | undefined): void {
  if (managedBy === undefined || managedBy === by) return;
  throw new DistricError(
    'MANAGED',
    `${what} "${id}" is managed by ${managedBy}: change it there; force overrides that`,
  );
}

export class Catalog {
  readonly #host: Host;
  readonly #overlay: Overlay;
  version = 0;
  /** Rises with every change of a rule, or of a workflow that rules may start; of this process only. */
  edition = 0;
  readonly rules = new Map<string, Stored<Rule>>();
  readonly workflows = new Map<string, Stored<Workflow>>();
  #plans = new Map<string, Plan>();

  constructor(host: Host, overlay: Overlay) {
    this.#host = host;
    this.#overlay = overlay;
    for (const { value } of overlay.range('r/', afterPrefix('r/'))) {
      const stored = this.#parse(value) as Stored<Rule>;
      this.rules.set(stored.document.id, stored);
    }
    for (const { value } of overlay.range('w/', afterPrefix('w/'))) {
      const stored = this.#parse(value) as Stored<Workflow>;
      this.workflows.set(stored.document.id, stored);
    }
  }

  putRule(rule: Rule, mode: PutMode, force = false): { change: Change; stored: Stored<Rule> } {
    const unknown: FieldError[] = [];
    rule.actions.forEach(({ workflow }, i) => {
      if (this.workflows.has(workflow)) return;
      unknown.push({ field: `actions[${String(i)}].workflow`, reason: `there is no workflow "${workflow}"` });
    });
    if (unknown.length > 0) {
      const names = unknown.map(({ reason }) => reason).join('; ');
      throw new DistricError('UNKNOWN_WORKFLOW', `rule "${rule.id}": ${names}; apply the workflow first`, unknown);
    }
    const outcome = this.#put(this.rules, rule, { mode, force, what: 'rule', countMax: RULES_MAX });
    if (outcome.change !== 'unchanged') {
      this.version++;
      this.#overlay.put(ruleKey(rule.id), this.#bytes(outcome.stored));
    }
    return outcome;
  }

  deleteRule(id: string, force = false): void {
    const stored = this.rules.get(id);
    if (stored === undefined) throw new DistricError('NOT_FOUND', `there is no rule "${id}"`);
    if (!force) refuseOwned('rule', stored.document, undefined);
    this.rules.delete(id);
    this.version++;
    this.edition++;
    this.#overlay.delete(ruleKey(id));
  }

  putWorkflow(workflow: Workflow, mode: PutMode, force = false): { change: Change; stored: Stored<Workflow> } {
    const outcome = this.#put(this.workflows, workflow, { mode, force, what: 'workflow', countMax: WORKFLOWS_MAX });
    if (outcome.change !== 'unchanged') {
      const bytes = this.#bytes(outcome.stored);
      this.#overlay.put(workflowKey(workflow.id), bytes);
      this.#overlay.put(revisionKey(workflow.id, outcome.stored.revision), bytes);
    }
    return outcome;
  }

  deleteWorkflow(id: string, force = false): void {
    const stored = this.workflows.get(id);
    if (stored === undefined) throw new DistricError('NOT_FOUND', `there is no workflow "${id}"`);
    if (!force) refuseOwned('workflow', stored.document, undefined);
    for (const { document } of this.rules.values()) {
      if (document.actions.some(({ workflow }) => workflow === id)) {
        throw new DistricError(
          'IN_USE',
          `workflow "${id}" is started by rule "${document.id}"; delete or change it first`,
        );
      }
    }
    this.workflows.delete(id);
    this.#overlay.delete(workflowKey(id));
  }

  /** Instances and tasks that a message which matches this rule starts, before any `dedupe`. */
  rowsOf({ actions }: Rule): number {
    return actions.reduce(
      (sum, { workflow }) => sum + 1 + (this.workflows.get(workflow)?.document.tasks.length ?? 0),
      0,
    );
  }

  /** The plan a new instance of `workflow` is pinned to; undefined when there is no such workflow. */
  currentPlan(workflow: string): Plan | undefined {
    const stored = this.workflows.get(workflow);
    return stored === undefined ? undefined : this.plan(workflow, stored.revision);
  }

  plan(workflow: string, revision: number): Plan {
    const key = revisionKey(workflow, revision);
    const cached = this.#plans.get(key);
    if (cached !== undefined) return cached;
    const bytes = this.#overlay.get(key);
    assert(bytes !== undefined, `revision ${String(revision)} of workflow ${workflow} is kept`);
    const plan = planOf((this.#parse(bytes) as Stored<Workflow>).document, revision);
    if (this.#plans.size >= PLANS_CACHED_MAX) this.#plans.clear();
    this.#plans.set(key, plan);
    return plan;
  }

  #put<T extends Owned>(
    table: Map<string, Stored<T>>,
    document: T,
    { mode, force, what, countMax }: { mode: PutMode; force: boolean; what: string; countMax: number },
  ): { change: Change; stored: Stored<T> } {
    const before = table.get(document.id);
    if (before !== undefined && mode === 'create') {
      throw new DistricError('ALREADY_EXISTS', `${what} "${document.id}" exists already; PUT replaces it`, [
        { field: 'id', reason: `"${document.id}" is taken` },
      ]);
    }
    if (before !== undefined && !force) refuseOwned(what, before.document, document.managedBy);
    if (before === undefined && table.size >= countMax) {
      throw new DistricError('INVALID_DOCUMENT', `the cluster holds ${String(countMax)} ${what}s already, its limit`);
    }
    if (before !== undefined && JSON.stringify(before.document) === JSON.stringify(document)) {
      return { change: 'unchanged', stored: before };
    }
    const stored = {
      document,
      revision: before === undefined ? this.#nextRevision(what, document.id) : before.revision + 1,
    };
    table.set(document.id, stored);
    this.edition++;
    return { change: before === undefined ? 'created' : 'configured', stored };
  }

  /** A workflow deleted and made again goes on counting: instances of its earlier revisions may still run. */
  #nextRevision(what: string, id: string): number {
    if (what !== 'workflow') return 1;
    const prefix = `v/${id}/`;
    for (const { value } of this.#overlay.range(prefix, afterPrefix(prefix), true)) {
      return (this.#parse(value) as Stored<Workflow>).revision + 1;
    }
    return 1;
  }

  #bytes(value: unknown): Uint8Array {
    return encodeText(this.#host, JSON.stringify(value));
  }

  #parse(value: Uint8Array): unknown {
    return JSON.parse(decodeText(this.#host, value));
  }
}
