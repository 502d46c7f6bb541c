import jsonata from 'jsonata';
import { RE2JS } from 're2js';
import { definePlugin, messageOf, TerminalError } from '../sdk.ts';

/** An expression may run this long, nest calls this deep and build sequences this long. */
const EVALUATION_MS_MAX = 1_000;
const STACK_DEPTH_MAX = 500;
const SEQUENCE_LENGTH_MAX = 100_000;
const PADDED_CHARS_MAX = 256 * 1024;
const EXPRESSION_CHARS_MAX = 64 * 1024;
/** Compiled expressions kept, oldest out first. */
const COMPILED_MAX = 256;

interface Config {
  expression: string;
}

/**
 * `transform`: evaluates the JSONata expression `config.expression` (https://jsonata.org) over
 * `{message, params, outputs, config, input}` and returns its value (`null` when it selects nothing).
 * Regular expressions run in linear time (RE2 syntax: no look-around, no back-references). Over a limit (1 s,
 * call depth 500, sequences of 100,000 items), or when the expression is faulty, the task fails terminally.
 */
export const transform = definePlugin<Config>({
  name: 'transform',
  version: '1.0.0',
  configSchema: {
    type: 'object',
    properties: { expression: { type: 'string', minLength: 1, maxLength: EXPRESSION_CHARS_MAX } },
    required: ['expression'],
  },
  validateConfig({ expression }) {
    compiled(expression);
  },
  async execute({ message, params, outputs, config, input }) {
    try {
      const value: unknown = await compiled(config.expression).evaluate({ message, params, outputs, config, input });
      return value ?? null;
    } catch (thrown) {
      throw new TerminalError(`the expression failed: ${messageOf(thrown)}`);
    }
  },
});

const cache = new Map<string, jsonata.Expression>();

function compiled(text: string): jsonata.Expression {
  const known = cache.get(text);
  if (known !== undefined) return known;
  const expression = compile(text);
  if (cache.size >= COMPILED_MAX) for (const oldest of cache.keys()) if (cache.delete(oldest)) break;
  cache.set(text, expression);
  return expression;
}

function compile(text: string): jsonata.Expression {
  try {
    const expression = jsonata(text, {
      timeout: EVALUATION_MS_MAX,
      stack: STACK_DEPTH_MAX,
      sequence: SEQUENCE_LENGTH_MAX,
      // The library only constructs it and calls exec(); its type asks for the whole RegExp constructor.
      RegexEngine: LinearRegex as unknown as RegExpConstructor,
    });
    expression.registerFunction('pad', pad, '<s-ns?:s>');
    return expression;
  } catch (thrown) {
    throw new Error(`expression: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** The library's own $pad allocates whatever width it is asked for before any limit is looked at. */
function pad(text: string, width: number, filler = ' '): string {
  if (Math.abs(width) > PADDED_CHARS_MAX)
    throw new Error(`$pad: width ${width} is over the limit of ${PADDED_CHARS_MAX}`);
  const missing = Math.trunc(Math.abs(width)) - Array.from(text).length;
  if (missing <= 0) return text;
  const chars = filler === '' ? [' '] : Array.from(filler);
  const padding = Array.from({ length: missing }, (_, i) => chars[i % chars.length]).join('');
  return width > 0 ? text + padding : padding + text;
}

/** The part of RegExp that JSONata uses, over RE2: no pattern can hold the worker. */
class LinearRegex {
  readonly #pattern: RE2JS;
  lastIndex = 0;

  constructor(source: RegExp) {
    const flags = (source.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0) | (source.multiline ? RE2JS.MULTILINE : 0);
    this.#pattern = RE2JS.compile(RE2JS.translateRegExp(source.source), flags);
  }

  exec(text: string): (Array<string | undefined> & { index: number }) | null {
    if (this.lastIndex > text.length) return null;
    const matcher = this.#pattern.matcher(text);
    if (!matcher.find(this.lastIndex)) return null;
    const groups = Array.from({ length: matcher.groupCount() + 1 }, (_, i) => matcher.group(i) ?? undefined);
    this.lastIndex = matcher.end();
    return Object.assign(groups, { index: matcher.start() });
  }
}
