/** Random rules and workflows for the task types that simulated workers have. */
import { parseRule, type Rule } from '../../api/rule.ts';
import { parseWorkflow, type Workflow } from '../../api/workflow.ts';
import type { Random } from '../../base/random.ts';

export const TASK_TYPES = ['step-a', 'step-b', 'step-c'] as const;
export const WORKFLOW_IDS = ['wf-0', 'wf-1', 'wf-2'] as const;
export const RULE_IDS = ['rule-0', 'rule-1', 'rule-2', 'rule-3'] as const;
export const MESSAGE_KINDS = ['red', 'green', 'blue', 'grey'] as const;

const TASKS_MAX = 5;

export function randomWorkflow(random: Random, id: string, version: number): Workflow {
  const count = random.integer(1, TASKS_MAX);
  const tasks = Array.from({ length: count }, (_, position) => {
    const earlier = Array.from({ length: position }, (_one, i) => `t${i}`);
    return {
      id: `t${position}`,
      type: random.pick(TASK_TYPES),
      depends_on: earlier.filter(() => random.chance(0.4)),
      // The default is longer than a run goes on after healing: what is lost without being noticed stays lost.
      ...(random.chance(0.6) ? { timeout: `${random.integer(4, 8)}s` } : {}),
      retry: random.integer(0, 2),
    };
  });
  return parseWorkflow({ id, version, ...(random.chance(0.3) ? { timeout: '40s' } : {}), tasks });
}

export function randomRule(random: Random, id: string, version: number): Rule {
  const isKind = { field: 'kind', op: 'equals', value: random.pick(MESSAGE_KINDS) };
  const isLarge = { field: 'amount', op: 'greater_than', value: random.integer(0, 100) };
  const actions = [{ workflow: random.pick(WORKFLOW_IDS), params: { rule: id } }];
  if (random.chance(0.2)) actions.push({ workflow: random.pick(WORKFLOW_IDS), params: { rule: id } });
  return parseRule({
    id,
    version,
    priority: random.integer(0, 3),
    enabled: random.chance(0.9),
    ...(random.chance(0.3) ? { stop: true } : {}),
    ...(random.chance(0.3) ? { dedupe: 'workflow' } : {}),
    conditions: random.chance(0.5) ? isKind : { combinator: 'AND', conditions: [isKind, isLarge] },
    actions,
  });
}
