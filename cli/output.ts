import Table from 'cli-table3';
import { stringify } from 'yaml';
import { singleLine } from './terminal.ts';
import type { Writer } from './terminal.ts';

export const OUTPUT_FORMATS = ['table', 'json', 'yaml'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** `value` as a program or a person asked for it; `text` is called only for people. */
export function printValue(stdout: Writer, format: OutputFormat, value: unknown, text: () => string): void {
  const output = format === 'json' ? JSON.stringify(value, null, 2) : format === 'yaml' ? toYaml(value) : text();
  stdout.write(output.endsWith('\n') ? output : `${output}\n`);
}

export function toYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** A cell may carry a finisher (a colour), applied after its text was made harmless. */
export type Cell = string | { readonly text: string; readonly finish: (text: string) => string };

/** Aligned columns without borders, so that `awk` and people read it alike. */
export function formatTable(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const table = new Table({
    head: [...columns],
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) table.push(row.map(cellText));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

function cellText(cell: Cell): string {
  if (typeof cell === 'string') return singleLine(cell);
  return cell.finish(singleLine(cell.text));
}
