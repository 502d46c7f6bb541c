import { describe, expect, it } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { DistricError } from '../base/errors.ts';
import { parseDocuments } from './documents.ts';

const rule = (id: string) => ({ id, conditions: { field: 'a', op: 'exists' }, actions: [{ workflow: 'w' }] });
const workflow = (id: string) => ({ id, tasks: [{ id: 'a', type: 'log' }] });
const ids = (values: readonly unknown[]): [string[], string[]] => {
  const { rules, workflows } = parseDocuments(values);
  return [rules.map(({ id }) => id), workflows.map(({ id }) => id)];
};

function firstFault(values: readonly unknown[]): { field: string; reason: string } | undefined {
  try {
    parseDocuments(values);
  } catch (error) {
    if (error instanceof DistricError && error.code === 'INVALID_DOCUMENT') return error.fields[0];
    throw error;
  }
  throw new Error('not refused');
}

describe('parseDocuments', () => {
  it.each([
    [[], [], []],
    [[null, undefined], [], []],
    [[rule('r')], ['r'], []],
    [[workflow('w')], [], ['w']],
    [[{ rule: rule('r') }], ['r'], []],
    [[{ workflow: workflow('w') }], [], ['w']],
    [[{ rules: [rule('r1'), rule('r2')], workflows: [workflow('w')] }], ['r1', 'r2'], ['w']],
    [[[rule('r'), workflow('w')]], ['r'], ['w']],
    [[{ rules: [] }], [], []],
  ])('reads the form %j', (values, rules, workflows) => {
    expect(ids(values)).toEqual([rules, workflows]);
  });

  it('reads YAML files with wrappers and Kubernetes resources in it', () => {
    const text = `
rules:
  - { id: r1, conditions: { field: a, op: exists }, actions: [{ workflow: w }] }
---
apiVersion: distric.io/v1alpha1
kind: Rule
metadata: { name: r2, namespace: shop, labels: { team: risk } }
spec:
  clusterRef: { name: main }
  priority: 5
  conditions: { field: a, op: exists }
  actions: [{ workflow: w }]
---
apiVersion: distric.io/v1alpha1
kind: Workflow
metadata: { name: fraud-check }
spec: { clusterRef: main, id: fraud_check, tasks: [{ id: a, type: log }] }
---
`;
    const values = parseAllDocuments(text).map((document) => document.toJS() as unknown);
    expect(ids(values)).toEqual([['r1', 'r2'], ['fraud_check']]);
    expect(parseDocuments(values).rules[1]).not.toHaveProperty('clusterRef');
  });

  it.each([
    [['text'], '$', 'found "text"'],
    [[{ id: 'x' }], '$', 'found an object with "id"'],
    [[{}], '$', 'nothing in it'],
    [[[[rule('r')]]], '[0]', 'found a list of 1'],
    [[{ rules: rule('r') }], 'rules', 'must be a list, not an object'],
    [[{ rules: [], rulez: [] }], 'rulez', 'unknown property'],
    [[{ rules: [rule('r'), { ...rule('r2'), id: '?' }] }], 'rules[1].id', '"?" is not an id'],
    [
      [rule('r'), { workflow: { id: 'w', tasks: [{ id: 'a' }] } }],
      'documents[1].workflow.tasks[0].type',
      'is required',
    ],
    [[rule('r'), { rule: 5 }], 'documents[1].rule', 'must be an object, not 5'],
    [[rule('r'), rule('r')], 'rule.id', 'two rules have the id "r"'],
    [[{ apiVersion: 'v1', kind: 'Rule' }], 'apiVersion', 'must be distric.io/v1alpha1, not "v1"'],
    [[{ apiVersion: 'distric.io/v1alpha1', kind: 'DistricCluster' }], 'kind', 'must be Rule or Workflow'],
    [
      [{ apiVersion: 'distric.io/v1alpha1', kind: 'Rule', metadata: {} }],
      'metadata.name',
      'must be text, not undefined',
    ],
    [[{ apiVersion: 'distric.io/v1alpha1', kind: 'Rule', metadata: { name: 'a' } }], 'spec', 'must be an object'],
    [
      [{ apiVersion: 'distric.io/v1alpha1', kind: 'Workflow', metadata: { name: 'a' }, spec: { tasks: [] } }],
      'spec.tasks',
      'at least 1 items',
    ],
  ])('refuses %j at %s', (values, field, reason) => {
    const fault = firstFault(values);
    expect(fault?.field).toBe(field);
    expect(fault?.reason).toContain(reason);
  });

  it('refuses more than 10,000 documents at once', () => {
    expect(firstFault([{ rules: Array.from({ length: 10_001 }, (_, i) => rule(`r${i}`)) }])?.reason).toContain('10000');
  });
});
