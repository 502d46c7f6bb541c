/**
 * A strict reader of the Prometheus text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/):
 * what a scraper would only half understand is an error here.
 */

export interface Sample {
  /** As written: of a histogram with its `_bucket`, `_sum` or `_count`. */
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface Family {
  name: string;
  help: string;
  type: 'counter' | 'gauge' | 'histogram' | 'summary' | 'untyped';
  samples: Sample[];
}

const TYPES = new Set(['counter', 'gauge', 'histogram', 'summary', 'untyped']);
const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y;

export async function scrape(observability: string): Promise<Map<string, Family>> {
  const response = await fetch(`${observability}/metrics`, { signal: AbortSignal.timeout(5_000) });
  const type = response.headers.get('content-type') ?? '';
  if (!response.ok || !type.startsWith('text/plain; version=0.0.4')) throw new Error(`${response.status} ${type}`);
  return parseExposition(await response.text());
}

export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let current: Family | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, keyword, name = '', rest = ''] = comment;
      if (keyword === 'HELP') current = begin(families, name, rest);
      else setType(current, name, rest);
      continue;
    }
    const sample = parseSample(line);
    if (current === undefined || !belongs(sample.name, current))
      throw new Error(`${line}: not of the family before it`);
    const series = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`;
    if (seen.has(series)) throw new Error(`${line}: the same series twice`);
    seen.add(series);
    current.samples.push(sample);
  }
  for (const family of families.values()) checkFamily(family);
  return families;
}

function begin(families: Map<string, Family>, name: string, help: string): Family {
  if (!NAME.test(name) || families.has(name)) throw new Error(`family ${name}: bad name, or told twice`);
  const family: Family = { name, help, type: 'untyped', samples: [] };
  families.set(name, family);
  return family;
}

function setType(family: Family | undefined, name: string, type: string): void {
  if (family?.name !== name || family.samples.length > 0) throw new Error(`TYPE ${name} is not right after its HELP`);
  if (!TYPES.has(type)) throw new Error(`${name}: unknown type ${type}`);
  family.type = type as Family['type'];
}

function parseSample(line: string): Sample {
  const match = SAMPLE.exec(line);
  if (match === null) throw new Error(`not a sample: ${line}`);
  const [, name = '', labelText = '', valueText = ''] = match;
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < labelText.length) {
    const label = LABEL.exec(labelText);
    if (label === null) throw new Error(`labels of: ${line}`);
    const [, key = '', value = ''] = label;
    if (key in labels) throw new Error(`label ${key} twice: ${line}`);
    labels[key] = value.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
  }
  return { name, labels, value: numberOf(valueText) };
}

function numberOf(text: string): number {
  if (text === '+Inf' || text === 'Inf') return Infinity;
  if (text === '-Inf') return -Infinity;
  if (text === 'NaN' || text === 'Nan') return NaN;
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) throw new Error(`not a number: ${text}`);
  return Number(text);
}

function belongs(sample: string, { name, type }: Family): boolean {
  if (sample === name) return type !== 'histogram';
  if (type === 'histogram' && sample === `${name}_bucket`) return true;
  return (type === 'histogram' || type === 'summary') && (sample === `${name}_sum` || sample === `${name}_count`);
}

function checkFamily({ name, help, type, samples }: Family): void {
  if (help.trim() === '') throw new Error(`${name} has no help`);
  if (type === 'counter' && samples.some(({ value }) => !(value >= 0)))
    throw new Error(`${name}: a counter below zero`);
  if (type === 'histogram') checkHistogram(name, samples);
}

/** Per series: buckets rise, the last is +Inf and equals the count. */
function checkHistogram(name: string, samples: readonly Sample[]): void {
  const counts = new Map<string, number>();
  const buckets = new Map<string, { bound: number; value: number }[]>();
  for (const { name: sample, labels, value } of samples) {
    const { le, ...rest } = labels;
    const series = JSON.stringify(Object.entries(rest).sort());
    if (sample === `${name}_count`) counts.set(series, value);
    if (sample !== `${name}_bucket`) continue;
    if (le === undefined) throw new Error(`${name}: a bucket without its bound`);
    buckets.set(series, [...(buckets.get(series) ?? []), { bound: numberOf(le), value }]);
  }
  for (const [series, rows] of buckets) {
    const isRising = rows.every(
      ({ bound, value }, i) => i === 0 || (bound > rows[i - 1]!.bound && value >= rows[i - 1]!.value),
    );
    const last = rows.at(-1);
    if (!isRising || last?.bound !== Infinity || last.value !== counts.get(series)) {
      throw new Error(`${name}${series}: buckets do not add up`);
    }
  }
  if (counts.size !== buckets.size) throw new Error(`${name}: buckets or counts are missing`);
}

/** The sum of the samples of that name whose labels include `labels`; 0 when there is none. */
export function metricValue(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const family = families.get(name) ?? families.get(name.replace(/_(?:bucket|sum|count)$/, ''));
  const matching = (family?.samples ?? []).filter(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  );
  return matching.reduce((sum, { value }) => sum + value, 0);
}
