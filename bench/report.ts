import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import Table from 'cli-table3';

/** One measured figure. With a peer, `ratio` (ours / the peer's, from the same run) is what counts. */
export interface Row {
  name: string;
  value: number;
  unit: string;
  peer?: string;
  peerValue?: number;
  ratio?: number;
  /** What has to be reached, as `bound` says. Without it the row only informs. */
  must?: number;
  /** What `must` bounds: the ratio to the peer from below (the default) or from above, or the value itself. */
  bound?: Bound;
  ok: boolean;
}

type Bound = 'ratio' | 'ratio_at_most' | 'at_least' | 'at_most';

export interface Report {
  rows: readonly Row[];
  ok: boolean;
  commit: string;
  machine: string;
  seed?: number;
}

export interface Peer {
  name: string;
  value: number;
}

const BYTES_PER_GIB = 1024 ** 3;

/** A row that only informs. */
export function figure(name: string, value: number, unit: string): Row {
  return { name, value: rounded(value), unit, ok: true };
}

/** A row whose value must not be over a limit. */
export function atMost(name: string, value: number, unit: string, limit: number): Row {
  return { name, value: rounded(value), unit, must: limit, bound: 'at_most', ok: value <= limit };
}

/** A row whose value must not be under a limit. */
export function atLeast(name: string, value: number, unit: string, limit: number): Row {
  return { name, value: rounded(value), unit, must: limit, bound: 'at_least', ok: value >= limit };
}

/** A row held against a peer. A peer that could not be measured fails a row that has a `must`: no figure is no proof. */
export function comparison(
  name: string,
  value: number,
  unit: string,
  peer: Peer | undefined,
  must?: number,
  bound: 'ratio' | 'ratio_at_most' = 'ratio',
): Row {
  const row: Row = { name, value: rounded(value), unit, ok: must === undefined };
  if (must !== undefined) Object.assign(row, { must, bound });
  if (peer === undefined || peer.value <= 0) return row;
  const ratio = value / peer.value;
  return {
    ...row,
    peer: peer.name,
    peerValue: rounded(peer.value),
    ratio: rounded(ratio),
    ok: must === undefined || (bound === 'ratio' ? ratio >= must : ratio <= must),
  };
}

/** Three significant digits under 100, whole numbers above: more would be noise on a shared machine. */
export function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

export function createReport(rows: readonly Row[], extraFailures: number): Report {
  return {
    rows,
    ok: extraFailures === 0 && rows.length > 0 && rows.every((row) => row.ok),
    commit: commitName(),
    machine: machineName(),
  };
}

export function renderTable(rows: readonly Row[]): string {
  const table = new Table({
    head: ['measured', 'value', 'unit', 'peer', "peer's", 'ratio', 'must', ''],
    colAligns: ['left', 'right', 'left', 'left', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) {
    table.push([
      row.name,
      grouped(row.value),
      row.unit,
      row.peer ?? '',
      row.peerValue === undefined ? '' : grouped(row.peerValue),
      row.ratio === undefined ? '' : `${String(row.ratio)} x`,
      mustText(row),
      verdict(row),
    ]);
  }
  return table.toString();
}

export function writeReport(path: string, report: Report): void {
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
}

function mustText({ must, bound }: Row): string {
  if (must === undefined) return '';
  if (bound === 'at_most') return `<= ${grouped(must)}`;
  if (bound === 'ratio_at_most') return `<= ${String(must)} x`;
  return bound === 'at_least' ? `>= ${grouped(must)}` : `>= ${String(must)} x`;
}

function verdict(row: Row): string {
  if (!row.ok) return 'FAILED';
  return row.must === undefined ? '' : 'ok';
}

function grouped(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 3 });
}

function commitName(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=12'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

function machineName(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memoryGib = Math.round(totalmem() / BYTES_PER_GIB);
  return `${String(availableParallelism())} x ${model}, ${String(memoryGib)} GiB, node ${process.version}`;
}
