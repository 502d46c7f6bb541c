/** The figures of SWIM as a table, and the marks that they must reach. */
import { type FigureRow, measure } from './figures.ts';

const SIZES = [100, 1_000];
const LOSSES = [0, 0.1, 0.3];
const HOURS = 5;
/** Up to that size the marks are asked for. */
const MARKED_SIZE = 100;
const DETECTION_SECONDS_MAX = 5;
const FALSE_FAILURES_PER_THOUSAND_HOURS_MAX = 1;

export interface FigureOptions {
  sizes: readonly number[] | undefined;
  /** Of members, in each row. */
  hours: number | undefined;
}

/** Tells whether all marks are reached. */
export function printFigures({ sizes = SIZES, hours = HOURS }: FigureOptions, print: (line: string) => void): boolean {
  const startedMs = performance.now();
  print(COLUMNS.map(({ title, width }) => title.padStart(width)).join(''));
  const settings = sizes.flatMap((size) =>
    [false, true].flatMap((pauses) => LOSSES.map((loss) => ({ size, loss, pauses, memberHours: hours }))),
  );
  const rows = settings.map((setting) => {
    const row = measure(setting);
    print(COLUMNS.map(({ width, cell }) => cell(row).padStart(width)).join(''));
    return row;
  });
  const missed = rows.flatMap(missedMarks);
  for (const line of missed) print(`MISSED ${line}`);
  const total = rows.reduce((sum, { memberHours }) => sum + memberHours, 0);
  print(`${total.toFixed(0)} member-hours in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
  return missed.length === 0;
}

interface Column {
  title: string;
  width: number;
  cell: (row: FigureRow) => string;
}

const seconds = (value: number): string => value.toFixed(2);
const whole = (value: number): string => value.toFixed(0);

const COLUMNS: readonly Column[] = [
  { title: 'members', width: 7, cell: ({ size }) => String(size) },
  { title: 'loss', width: 7, cell: ({ loss }) => `${whole(loss * 100)} %` },
  { title: 'paused', width: 8, cell: ({ pauses }) => (pauses ? '25 %' : '0 %') },
  { title: 'p50 s', width: 7, cell: (row) => seconds(row.steadyP50) },
  { title: 'p99 s', width: 7, cell: (row) => seconds(row.steadyP99) },
  { title: 'all p99', width: 9, cell: (row) => seconds(row.detectionP99) },
  { title: 'spread p50', width: 12, cell: (row) => seconds(row.convergenceP50) },
  { title: 'p99', width: 7, cell: (row) => seconds(row.convergenceP99) },
  { title: 'join s', width: 8, cell: (row) => seconds(row.joinSeconds) },
  { title: 'datagrams/s', width: 13, cell: (row) => row.datagramsPerSecond.toFixed(1) },
  { title: 'bytes/s', width: 9, cell: (row) => whole(row.bytesPerSecond) },
  { title: 'TCP bytes/s', width: 13, cell: (row) => whole(row.streamBytesPerSecond) },
  { title: 'crashes', width: 9, cell: (row) => String(row.crashes) },
  { title: 'missed', width: 8, cell: (row) => String(row.missed) },
  { title: 'false', width: 7, cell: (row) => String(row.falseFailures) },
  { title: 'of paused', width: 11, cell: (row) => String(row.falseFailuresPaused) },
  { title: 'hours', width: 8, cell: (row) => row.memberHours.toFixed(1) },
];

function missedMarks(row: FigureRow): string[] {
  if (row.size > MARKED_SIZE) return [];
  const { size, loss, pauses, steadyP99, missed, falseFailures, memberHours } = row;
  const where = `${size} members, ${whole(loss * 100)} % loss${pauses ? ', a quarter paused' : ''}`;
  const isLate = !(steadyP99 < DETECTION_SECONDS_MAX);
  const areTooMany = (falseFailures / memberHours) * 1_000 >= FALSE_FAILURES_PER_THOUSAND_HOURS_MAX;
  return [
    ...(isLate ? [`${where}: detection p99 ${seconds(steadyP99)} s, not below ${DETECTION_SECONDS_MAX} s`] : []),
    ...(areTooMany ? [`${where}: ${falseFailures} failures of live members that were never paused`] : []),
    ...(missed > 0 ? [`${where}: ${missed} times somebody did not learn of a crash`] : []),
  ];
}
