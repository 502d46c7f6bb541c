import type { KeyValueReader } from '../core/state/store.ts';

/** Behind every key of the state. */
export const BEHIND_ALL_KEYS = '\u00ff';

/** Records by the prefix of their keys (core/state/keys.ts); indexes over them are left out. */
export const TABLES = {
  m: 'messages',
  d: 'idempotency_keys',
  i: 'instances',
  o: 'outputs',
  r: 'rules',
  w: 'workflows',
  v: 'workflow_revisions',
  k: 'workers',
  t: 'task_types',
  y: 'keys',
  u: 'audit_rows',
} as const;
export type TableName = (typeof TABLES)[keyof typeof TABLES];

export function tableOf(key: string): TableName | undefined {
  const prefix = key.slice(0, key.indexOf('/'));
  return Object.hasOwn(TABLES, prefix) ? TABLES[prefix as keyof typeof TABLES] : undefined;
}

/** How many records of each there are. */
export class TableCounts {
  readonly counts: Record<TableName, number>;

  constructor() {
    this.counts = Object.fromEntries(Object.values(TABLES).map((name) => [name, 0])) as Record<TableName, number>;
  }

  add(key: string): void {
    const table = tableOf(key);
    if (table !== undefined) this.counts[table]++;
  }

  static of(state: KeyValueReader): TableCounts {
    const counts = new TableCounts();
    for (const { key } of state.range('', BEHIND_ALL_KEYS)) counts.add(key);
    return counts;
  }
}
