/** Values of any struct, made from its declaration: for vectors, for properties and for fuzzing. */
import type { Host } from '../../../base/host.ts';
import { encodeText } from '../../../base/host.ts';
import type { Random } from '../../../base/random.ts';
import type { NamedField, Struct } from './struct.ts';
import type { Kind } from './wire.ts';

type Sample = Record<string, unknown>;

const U64_EDGES = [0, 1, 255, 256, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER];
const LETTERS = ['a', 'Z', '0', '-', '"', '\\', '\u0000', 'é', '€', '日', '😀'];
const LIST_ITEMS_MAX = 4;
const TEXT_LETTERS_MAX = 70;
const BYTES_MAX = 200;
const LARGE_BYTES_MAX = 20_000;
const LARGE_CHANCE = 0.02;

/** Every field set, each to a value that tells which field it is. */
export function fullSample(host: Host, type: Struct<unknown>): Sample {
  return build(
    type,
    () => true,
    (one, kind, inner) => fullValue(host, one, kind, inner),
  );
}

/** Optional fields left out, the others as small as they can be. */
export function minimalSample(host: Host, type: Struct<unknown>): Sample {
  return build(
    type,
    (one) => !one.optional,
    (_one, kind, inner) => {
      if (kind === 'list') return [];
      if (kind === 'nested' && inner !== undefined) return minimalSample(host, inner);
      return kind === 'text' ? '' : kind === 'bytes' ? host.alloc(0) : kind === 'bool' ? false : 0;
    },
  );
}

export function randomSample(host: Host, type: Struct<unknown>, random: Random): Sample {
  return build(
    type,
    (one) => !one.optional || random.chance(0.5),
    (one, kind, inner) => randomValue(host, one, kind, inner, random),
  );
}

type ValueMaker = (one: NamedField, kind: Kind, inner: Struct<unknown> | undefined) => unknown;

function build(type: Struct<unknown>, has: (one: NamedField) => boolean, make: ValueMaker): Sample {
  const value: Sample = {};
  for (const one of type.fields) if (has(one)) value[one.name] = make(one, one.kind, one.inner);
  return value;
}

function fullValue(host: Host, one: NamedField, kind: Kind, inner: Struct<unknown> | undefined): unknown {
  switch (kind) {
    case 'list':
      return one.element === undefined ? [] : [1, 2].map(() => fullValue(host, one, one.element ?? 'text', inner));
    case 'nested':
      return inner === undefined ? {} : fullSample(host, inner);
    case 'text':
      return `${one.name} é`;
    case 'bytes':
      return encodeText(host, `bytes of ${one.name}`);
    case 'bool':
      return true;
    case 'f64':
      return one.tag + 0.5;
    case 'i64':
      return -one.tag;
    case 'u64':
      return 0x1_0000_0000 + one.tag;
    default:
      return one.tag;
  }
}

function randomValue(
  host: Host,
  one: NamedField,
  kind: Kind,
  inner: Struct<unknown> | undefined,
  random: Random,
): unknown {
  switch (kind) {
    case 'list': {
      const element = one.element ?? 'text';
      const count = random.integer(0, LIST_ITEMS_MAX);
      return Array.from({ length: count }, () => randomValue(host, one, element, inner, random));
    }
    case 'nested':
      return inner === undefined ? {} : randomSample(host, inner, random);
    case 'text':
      return Array.from({ length: random.integer(0, TEXT_LETTERS_MAX) }, () => random.pick(LETTERS)).join('');
    case 'bytes':
      return randomBytes(host, random);
    case 'bool':
      return random.chance(0.5);
    case 'f64':
      return (random.fraction() - 0.5) * 2 ** random.integer(-60, 60);
    case 'i64':
      return random.pick(U64_EDGES) * (random.chance(0.5) ? 1 : -1) || 0;
    case 'u64':
      return random.chance(0.5) ? random.pick(U64_EDGES) : random.uint32() * random.integer(1, 0x1f_ffff);
    case 'u32':
      return random.uint32();
    case 'u16':
      return random.integer(0, 0xffff);
    case 'u8':
      return random.integer(0, 0xff);
  }
}

function randomBytes(host: Host, random: Random): Uint8Array {
  const bytes = host.alloc(random.integer(0, random.chance(LARGE_CHANCE) ? LARGE_BYTES_MAX : BYTES_MAX));
  for (let at = 0; at < bytes.length; at++) bytes[at] = random.uint32();
  return bytes;
}
