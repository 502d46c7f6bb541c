/** Rule and workflow documents as sent: YAML or JSON, bare or in one of the accepted wrappers. */
import { isUtf8 } from 'node:buffer';
import type { FastifyRequest } from 'fastify';
import { parseAllDocuments } from 'yaml';
import { parseDocuments } from '../../../api/documents.ts';
import { parseJson } from '../../../api/json.ts';
import { parseRule, type Rule } from '../../../api/rule.ts';
import { parseWorkflow, type Workflow } from '../../../api/workflow.ts';
import { DistricError } from '../../../base/errors.ts';
import { bodyOf, mediaTypeOf } from './body.ts';

export const DOCUMENT_TYPES = ['application/json', 'application/yaml', 'application/x-yaml', 'text/yaml'];

/** Aliases of one YAML document; their expansion multiplies ("billion laughs"). */
const YAML_ALIASES_MAX = 50;
const WRAPPER_KEYS = ['apiVersion', 'rule', 'rules', 'workflow', 'workflows'];

function invalid(reason: string, field = 'body'): DistricError {
  return new DistricError('INVALID_DOCUMENT', `${field}: ${reason}`, [{ field, reason }]);
}

function parseYaml(text: string): unknown {
  try {
    const documents = parseAllDocuments(text, { uniqueKeys: true, strict: true, stringKeys: true });
    const [document] = documents;
    if (!Array.isArray(documents) || document === undefined) throw invalid('the YAML is empty');
    if (documents.length > 1) throw invalid('send one YAML document per request');
    const fault = document.errors[0] ?? document.warnings[0];
    if (fault !== undefined) throw invalid(`not valid YAML: ${fault.message.split('\n')[0] ?? ''}`);
    return document.toJS({ maxAliasCount: YAML_ALIASES_MAX });
  } catch (error) {
    if (error instanceof DistricError) throw error;
    // Too many aliases, or nested so deeply that the parser's stack ends.
    throw invalid(`not usable YAML: ${error instanceof Error ? error.message : 'unreadable'}`);
  }
}

function readValue(request: FastifyRequest): unknown {
  const body = bodyOf(request);
  if (body.length === 0) throw invalid('the document is missing');
  if (!isUtf8(body)) throw invalid('not valid UTF-8');
  const text = body.toString('utf8');
  return mediaTypeOf(request.headers['content-type']).name === 'application/json' ? parseJson(text) : parseYaml(text);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWrapped(value: unknown): boolean {
  return isObject(value) && WRAPPER_KEYS.some((key) => key in value);
}

/** A bare document without an id takes that of the path. */
function withId(value: unknown, id: string | undefined): unknown {
  return id !== undefined && isObject(value) && value['id'] === undefined ? { ...value, id } : value;
}

function checkId(documentId: string, pathId: string | undefined): void {
  if (pathId !== undefined && documentId !== pathId) {
    throw invalid(`is "${documentId}" in the document and "${pathId}" in the path`, 'id');
  }
}

function one<T>(wanted: readonly T[], others: readonly unknown[], kind: string): T {
  const [first] = wanted;
  if (first === undefined || wanted.length > 1 || others.length > 0) {
    throw invalid(`must hold one ${kind}, and holds ${wanted.length} and ${others.length} of another kind`);
  }
  return first;
}

/** The one rule in the body. `pathId`: the id that it must have. Throws INVALID_DOCUMENT, INVALID_JSON. */
export function readRule(request: FastifyRequest, pathId?: string): Rule {
  const value = readValue(request);
  let rule: Rule;
  if (isWrapped(value)) {
    const { rules, workflows } = parseDocuments([value]);
    rule = one(rules, workflows, 'rule');
  } else {
    rule = parseRule(withId(value, pathId));
  }
  checkId(rule.id, pathId);
  return rule;
}

/** The one workflow in the body; else as `readRule`. */
export function readWorkflow(request: FastifyRequest, pathId?: string): Workflow {
  const value = readValue(request);
  let workflow: Workflow;
  if (isWrapped(value)) {
    const { rules, workflows } = parseDocuments([value]);
    workflow = one(workflows, rules, 'workflow');
  } else {
    workflow = parseWorkflow(withId(value, pathId));
  }
  checkId(workflow.id, pathId);
  return workflow;
}
