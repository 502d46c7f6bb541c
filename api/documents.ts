/**
 * The forms in which rules and workflows come: bare, in wrappers (`rule:`, `rules:`, `workflow:`, `workflows:`),
 * and as Kubernetes resources. All give the same canonical documents.
 */
import { DistricError } from '../base/errors.ts';
import { API_VERSION } from './resources.ts';
import { parseRule, type Rule } from './rule.ts';
import { quote, refuseFaults } from './validation.ts';
import { parseWorkflow, type Workflow } from './workflow.ts';

const DOCUMENTS_MAX = 10_000;
const WRAPPERS = ['rule', 'rules', 'workflow', 'workflows'] as const;
/** Of the resource alone: they say which cluster it is for, not what it does. */
const RESOURCE_ONLY = ['clusterRef', 'deletionPolicy'];

export interface Documents {
  rules: Rule[];
  workflows: Workflow[];
}

/**
 * All rules and workflows in `values` (parsed YAML documents or JSON texts, in any of the forms; null, as an empty
 * YAML document gives, is skipped). Throws INVALID_DOCUMENT; its fields start with the place of the document, such as
 * `documents[1].rules[0]`, when there is more than one.
 */
export function parseDocuments(values: readonly unknown[]): Documents {
  const found: Documents = { rules: [], workflows: [] };
  const present = values.map((value, i) => ({ value, at: values.length > 1 ? `documents[${i}]` : '' }));
  for (const { value, at } of present) {
    if (value !== null && value !== undefined) collect(found, value, at);
  }
  refuseRepeated('rule', found.rules);
  refuseRepeated('workflow', found.workflows);
  return found;
}

function collect(found: Documents, value: unknown, at: string): void {
  if (!isObject(value)) {
    if (!Array.isArray(value)) throw unknownForm(at, quote(value));
    value.forEach((item, i) => {
      // A list in a list has no meaning, and would be a way to nest without end.
      if (Array.isArray(item)) throw unknownForm(`${at}[${i}]`, quote(item));
      collect(found, item, `${at}[${i}]`);
    });
    return;
  }
  if ('kind' in value || 'apiVersion' in value) collectResource(found, value, at);
  else if (WRAPPERS.some((name) => name in value)) collectWrapped(found, value, at);
  else if ('tasks' in value) addWorkflow(found, value, at);
  else if ('conditions' in value || 'actions' in value) addRule(found, value, at);
  else
    throw unknownForm(at, `an object with ${Object.keys(value).slice(0, 5).map(quote).join(', ') || 'nothing in it'}`);
}

function collectWrapped(found: Documents, value: Record<string, unknown>, at: string): void {
  const prefix = at === '' ? '' : `${at}.`;
  for (const [name, inner] of Object.entries(value)) {
    const place = prefix + name;
    const add = name.startsWith('rule') ? addRule : addWorkflow;
    if (!WRAPPERS.some((wrapper) => wrapper === name)) {
      refuseFaults('document', [{ field: place, reason: `unknown property beside ${WRAPPERS.join(', ')}` }]);
    } else if (!name.endsWith('s')) add(found, inner, place);
    else if (Array.isArray(inner)) inner.forEach((item, i) => add(found, item, `${place}[${i}]`));
    else refuseFaults('document', [{ field: place, reason: `must be a list, not ${quote(inner)}` }]);
  }
}

function collectResource(found: Documents, value: Record<string, unknown>, at: string): void {
  const prefix = at === '' ? '' : `${at}.`;
  const { apiVersion, kind, metadata, spec } = value;
  const name = isObject(metadata) ? metadata['name'] : undefined;
  if (apiVersion !== API_VERSION) {
    refuseFaults('resource', [
      { field: `${prefix}apiVersion`, reason: `must be ${API_VERSION}, not ${quote(apiVersion)}` },
    ]);
  }
  if (kind !== 'Rule' && kind !== 'Workflow') {
    refuseFaults('resource', [{ field: `${prefix}kind`, reason: `must be Rule or Workflow, not ${quote(kind)}` }]);
  }
  if (typeof name !== 'string') {
    refuseFaults('resource', [{ field: `${prefix}metadata.name`, reason: `must be text, not ${quote(name)}` }]);
  }
  if (!isObject(spec)) {
    throw new DistricError('INVALID_DOCUMENT', `${prefix}spec must be an object, not ${quote(spec)}`, [
      { field: `${prefix}spec`, reason: `must be an object, not ${quote(spec)}` },
    ]);
  }
  const document = Object.fromEntries(Object.entries(spec).filter(([key]) => !RESOURCE_ONLY.includes(key)));
  // The spec may name an id of its own: Kubernetes names allow no capitals and no "_".
  const add = kind === 'Rule' ? addRule : addWorkflow;
  add(found, { id: name, ...document }, `${prefix}spec`);
}

function addRule(found: Documents, value: unknown, at: string): void {
  found.rules.push(parseAt(parseRule, value, at));
  refuseTooMany(found);
}

function addWorkflow(found: Documents, value: unknown, at: string): void {
  found.workflows.push(parseAt(parseWorkflow, value, at));
  refuseTooMany(found);
}

function refuseTooMany(found: Documents): void {
  if (found.rules.length + found.workflows.length <= DOCUMENTS_MAX) return;
  refuseFaults('documents', [{ field: '$', reason: `more than ${DOCUMENTS_MAX} rules and workflows at once` }]);
}

/** Runs `parse` and puts `at` before the fields of its faults. */
function parseAt<T>(parse: (input: unknown) => T, value: unknown, at: string): T {
  try {
    return parse(value);
  } catch (error) {
    if (!(error instanceof DistricError) || at === '') throw error;
    const fields = error.fields.map(({ field, reason }) => ({ field: field === '$' ? at : `${at}.${field}`, reason }));
    throw new DistricError(error.code, `${at}: ${error.message}`, fields);
  }
}

function refuseRepeated(kind: string, documents: readonly { id: string }[]): void {
  const seen = new Set<string>();
  for (const { id } of documents) {
    if (seen.has(id))
      refuseFaults('documents', [{ field: `${kind}.id`, reason: `two ${kind}s have the id ${quote(id)}` }]);
    seen.add(id);
  }
}

function unknownForm(at: string, found: string): DistricError {
  const reason =
    'expected a rule {id, conditions, actions}, a workflow {id, tasks}, a wrapper {rules: [...]} or {workflow: {...}}, ' +
    `or a resource {apiVersion: ${API_VERSION}, kind, metadata, spec}; found ${found}`;
  return new DistricError('INVALID_DOCUMENT', reason, [{ field: at === '' ? '$' : at, reason }]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
