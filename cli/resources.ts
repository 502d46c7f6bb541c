/** Answers of the REST interface that carry documents; the other shapes are in api/rest.ts. */

export interface RuleList {
  rules: Record<string, unknown>[];
  catalog_version: number;
}

export interface DefinitionList {
  workflows: Record<string, unknown>[];
}
