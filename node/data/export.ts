import type { Rule } from '../../api/rule.ts';
import type { Workflow } from '../../api/workflow.ts';
import { decodeText } from '../../base/host.ts';
import { type KeyRecord, keyResource } from '../core/state/access-table.ts';
import { MessageItem } from '../core/state/commands.ts';
import { decode } from '../core/tlv/struct.ts';
import { nodeHost } from '../io/host.ts';
import { DataDirectory } from './data-directory.ts';
import { BEHIND_ALL_KEYS, tableOf, type TableName } from './tables.ts';

/** One record of the state; `type` is a word for its table. */
export type ExportedRecord = { type: string } & Record<string, unknown>;

function json(bytes: Uint8Array): unknown {
  return JSON.parse(decodeText(nodeHost, bytes));
}

function object(bytes: Uint8Array): Record<string, unknown> {
  return json(bytes) as Record<string, unknown>;
}

function document(bytes: Uint8Array): { document: Rule | Workflow; revision: number } {
  const stored = json(bytes) as { document: Rule | Workflow; revision: number };
  return { document: stored.document, revision: stored.revision };
}

/** What is not here is left out: idempotency keys belong to clients, workers are gone by the time this is read. */
const RECORDS: Partial<Record<TableName, (key: string, value: Uint8Array) => ExportedRecord>> = {
  messages: (_key, value) => {
    const { payload, headers, receivedAt, matched, id, source } = decode(nodeHost, MessageItem, value);
    return {
      type: 'message',
      id,
      received_at: new Date(receivedAt).toISOString(),
      source: source ?? null,
      headers: headers === undefined ? null : JSON.parse(headers),
      matched_rules: matched,
      payload: json(payload),
    };
  },
  instances: (_key, value) => ({ type: 'instance', ...object(value) }),
  outputs: (key, value) => {
    const [, instance = '', task = ''] = key.split('/');
    return { type: 'output', instance, task, output: json(value) };
  },
  rules: (_key, value) => ({ type: 'rule', ...document(value) }),
  workflows: (_key, value) => ({ type: 'workflow', ...document(value) }),
  workflow_revisions: (_key, value) => ({ type: 'workflow_revision', ...document(value) }),
  keys: (_key, value) => ({ type: 'key', ...keyResource(json(value) as KeyRecord) }),
  audit_rows: (_key, value) => ({ type: 'audit', ...object(value) }),
};

/**
 * Every record of the state as it was last committed to disk; never a secret nor the hash of one.
 * @throws StorageError: not there, in use by a node, unreadable as a whole, or of another format.
 */
export async function* exportData(dir: string): AsyncGenerator<ExportedRecord, void, undefined> {
  const data = await DataDirectory.open(dir);
  try {
    for (const { key, value } of data.state.range('', BEHIND_ALL_KEYS)) {
      const table = tableOf(key);
      const record = table === undefined ? undefined : RECORDS[table]?.(key, value);
      if (record !== undefined) yield record;
    }
  } finally {
    await data.close();
  }
}
