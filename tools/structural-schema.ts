/**
 * From the schemas that validate (TypeBox) to structural ones, which are all that a CRD may have: every value has one
 * type, nothing recurses, and no default is written into what users apply.
 */
type Json = Record<string, unknown>;

const KEPT = new Set([
  ...['type', 'description', 'pattern', 'enum', 'format', 'minimum', 'maximum'],
  ...['minLength', 'maxLength', 'minItems', 'maxItems', 'required'],
]);
const ANYTHING = { 'x-kubernetes-preserve-unknown-fields': true };

export function structural(given: object): Json {
  const schema = given as Json;
  if (Array.isArray(schema['anyOf'])) return { ...union(schema['anyOf'] as Json[]), ...described(schema) };
  if ('const' in schema) return { type: typeof schema['const'], enum: [schema['const']], ...described(schema) };
  // A record of anything, or a value of any type.
  if (schema['type'] === undefined) return { ...ANYTHING, ...described(schema) };
  const result: Json = {};
  for (const [name, value] of Object.entries(schema)) {
    if (KEPT.has(name) || (name.startsWith('x-kubernetes-') && !name.startsWith('x-kubernetes-embedded'))) {
      result[name] = value;
    }
  }
  // Kubernetes' patterns are RE2 and its `format` is a hint; both read what these schemas say.
  if (schema['properties'] !== undefined) {
    const properties = Object.entries(schema['properties'] as Record<string, Json>);
    result['properties'] = Object.fromEntries(properties.map(([name, inner]) => [name, structural(inner)]));
    // What has a default need not be given.
    const required = properties.filter(([name, inner]) => requires(schema, name) && !('default' in inner));
    if (required.length > 0) result['required'] = required.map(([name]) => name);
    else delete result['required'];
  }
  if (schema['items'] !== undefined) result['items'] = structural(schema['items'] as Json);
  const values = Object.values((schema['patternProperties'] as Record<string, Json> | undefined) ?? {})[0];
  if (values?.['type'] !== undefined) result['additionalProperties'] = structural(values);
  else if (values !== undefined) Object.assign(result, ANYTHING);
  result['description'] = textOf(schema);
  if (result['description'] === undefined) delete result['description'];
  return result;
}

function requires({ required }: Json, name: string): boolean {
  return Array.isArray(required) && required.includes(name);
}

/** `number | text` as int-or-string; any other union is left to the coordinator, which says what is wrong. */
function union(options: readonly Json[]): Json {
  const types = new Set(options.map(({ type }) => type));
  const isDuration = types.size === 2 && types.has('string') && options.some((option) => 'exclusiveMinimum' in option);
  if (!isDuration) return ANYTHING;
  return { anyOf: [{ type: 'integer' }, { type: 'string' }], 'x-kubernetes-int-or-string': true };
}

function described(schema: Json): Json {
  const text = textOf(schema);
  return text === undefined ? {} : { description: text };
}

/** With the default in words, since that is where users look for it. */
function textOf({ description, default: byDefault }: Json): string | undefined {
  const isShown = ['string', 'number', 'boolean'].includes(typeof byDefault);
  const told = isShown ? `Default: ${String(byDefault)}.` : undefined;
  const text = [description, told].filter((part) => typeof part === 'string').join(' ');
  return text === '' ? undefined : text;
}
