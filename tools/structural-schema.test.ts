import { describe, expect, it } from '@jest/globals';
import { Type } from 'typebox';
import { parse } from 'yaml';
import { crdFiles } from './generate-crds.ts';
import { structural } from './structural-schema.ts';

const CRD_BYTES_MAX = 256 * 1024;

/** Every schema below `schema`, with its place. */
function walk(schema: object, at: string, visit: (schema: Record<string, unknown>, at: string) => void): void {
  const own = schema as Record<string, unknown>;
  visit(own, at);
  for (const [name, inner] of Object.entries((own['properties'] ?? {}) as Record<string, object>))
    walk(inner, `${at}.${name}`, visit);
  for (const name of ['items', 'additionalProperties']) {
    const inner = own[name];
    if (typeof inner === 'object' && inner !== null) walk(inner, `${at}.${name}`, visit);
  }
}

describe('structural', () => {
  it('names a default in words, and asks for nothing that has one', () => {
    const schema = Type.Object({ a: Type.Integer({ default: 3, description: 'How many.' }), b: Type.String() });
    expect(structural(schema)).toEqual({
      type: 'object',
      required: ['b'],
      properties: { a: { type: 'integer', description: 'How many. Default: 3.' }, b: { type: 'string' } },
    });
  });

  it('gives every value one type, or leaves it open', () => {
    expect(structural(Type.Union([Type.String(), Type.Boolean()]))).toEqual({
      'x-kubernetes-preserve-unknown-fields': true,
    });
    expect(structural(Type.Literal('x'))).toEqual({ type: 'string', enum: ['x'] });
    expect(structural(Type.Record(Type.String(), Type.String()))).toEqual({
      type: 'object',
      additionalProperties: { type: 'string' },
    });
  });
});

describe.each(Object.entries(crdFiles()))('the CRD in %s', (_name, text) => {
  const { spec } = parse(text) as { spec: { versions: { schema: { openAPIV3Schema: object } }[] } };
  const schema = spec.versions[0]!.schema.openAPIV3Schema;

  it('is small enough for every way of applying it', () => {
    expect(Buffer.byteLength(text)).toBeLessThan(CRD_BYTES_MAX);
  });

  it('is structural and writes no defaults', () => {
    const faults: string[] = [];
    walk(schema, '$', (part, at) => {
      const isOpen =
        part['x-kubernetes-preserve-unknown-fields'] === true || part['x-kubernetes-int-or-string'] === true;
      if (part['type'] === undefined && !isOpen) faults.push(`${at} has no type`);
      if ('default' in part) faults.push(`${at} has a default`);
      if (part['additionalProperties'] === false) faults.push(`${at} forbids properties`);
    });
    expect(faults).toEqual([]);
  });
});
