/**
 * `label_classifier`: labels for an issue, pull request or discussion from the words of its title and body,
 * and a size label from the number of changed lines.
 * Config: {title, body: paths into the message, lines?: paths of line counts, labels: {label: [words or phrases]}}.
 * Output: {labels, scores, markdown}; a word in the title counts three times as much as one in the body.
 */
import { definePlugin } from 'distric/plugin';
import { escapeMarkdown, textAt, valueAt } from '../payload.ts';

export interface Classification {
  /** The best label first; ties by name. */
  labels: string[];
  scores: Record<string, number>;
  markdown: string;
}

export interface ClassifierConfig {
  title: readonly string[];
  body: readonly string[];
  lines?: readonly string[];
  labels: Readonly<Record<string, readonly string[]>>;
}

const TITLE_WEIGHT = 3;
/** Words beyond this many are not read: a body is as long as its author likes. */
const WORDS_MAX = 20_000;
/** [label, most lines it covers], ascending. */
const SIZES: readonly (readonly [string, number])[] = [
  ['size/XS', 9],
  ['size/S', 49],
  ['size/M', 249],
  ['size/L', 999],
  ['size/XL', Number.POSITIVE_INFINITY],
];

export const plugin = definePlugin<ClassifierConfig>({
  name: 'label_classifier',
  version: '1.0.0',
  configSchema: {
    type: 'object',
    properties: {
      title: { type: 'array', items: { type: 'string' }, minItems: 1 },
      body: { type: 'array', items: { type: 'string' }, minItems: 1 },
      lines: { type: 'array', items: { type: 'string' } },
      labels: { type: 'object', additionalProperties: { type: 'array', items: { type: 'string', minLength: 1 } } },
    },
    required: ['title', 'body', 'labels'],
    additionalProperties: false,
  },
  execute(ctx) {
    return classify(ctx.message, ctx.config);
  },
});

export function classify(message: unknown, config: ClassifierConfig): Classification {
  const title = wordsOf(textAt(message, ...config.title));
  const body = wordsOf(textAt(message, ...config.body));
  const scored = Object.entries(config.labels)
    .map(([label, phrases]) => ({ label, score: scoreOf(title, phrases) * TITLE_WEIGHT + scoreOf(body, phrases) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || (a.label < b.label ? -1 : 1));

  const labels = scored.map(({ label }) => label);
  const size = sizeOf(message, config.lines ?? []);
  if (size !== undefined) labels.push(size);
  return {
    labels,
    scores: Object.fromEntries(scored.map(({ label, score }) => [label, score])),
    markdown: `Suggested labels: ${labels.length === 0 ? 'none' : labels.map(escapeMarkdown).join(', ')}\n`,
  };
}

/** Lower-case words, each with a space of its own on both sides: then ' word ' is found as often as the word is there. */
function wordsOf(text: string): string {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return ` ${words.slice(0, WORDS_MAX).join('  ')} `;
}

function scoreOf(words: string, phrases: readonly string[]): number {
  return phrases.reduce((score, phrase) => score + words.split(wordsOf(phrase)).length - 1, 0);
}

function sizeOf(message: unknown, paths: readonly string[]): string | undefined {
  const counts = paths.map((path) => valueAt(message, path)).filter((value) => typeof value === 'number');
  if (counts.length === 0) return undefined;
  const lines = counts.reduce((sum, count) => sum + count, 0);
  return SIZES.find(([, linesMax]) => lines <= linesMax)?.[0];
}
