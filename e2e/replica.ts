/** Everything a coordinator tells about messages and instances, read from outside. */
import type { InstanceList, InstanceResource, MessageList, MessageSummary } from '../api/rest.ts';
import { get } from './rest-call.ts';

const PAGE_ROWS = 1_000;
const PAGES_MAX = 1_000;
const READS_AT_ONCE = 16;

export interface Replica {
  /** By id. */
  messages: Map<string, MessageSummary>;
  /** By id, each with its tasks. */
  instances: Map<string, InstanceResource>;
}

export type Consistency = 'stale' | 'linearizable';

export async function readReplica(server: string, consistency: Consistency): Promise<Replica> {
  const messages = new Map<string, MessageSummary>();
  await eachPage(async (cursor) => {
    const page = await get<MessageList>(server, `/messages?${query(consistency, cursor)}`);
    for (const message of page.messages) addOnce(messages, message.message_id, message);
    return page.next_cursor;
  });
  const ids: string[] = [];
  await eachPage(async (cursor) => {
    const page = await get<InstanceList>(server, `/workflows?${query(consistency, cursor)}`);
    ids.push(...page.instances.map(({ id }) => id));
    return page.next_cursor;
  });
  const instances = new Map<string, InstanceResource>();
  const read = async (): Promise<void> => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      const path = `/workflows/${encodeURIComponent(id)}?consistency=${consistency}`;
      addOnce(instances, id, await get<InstanceResource>(server, path));
    }
  };
  await Promise.all(Array.from({ length: READS_AT_ONCE }, read));
  return { messages, instances };
}

function query(consistency: Consistency, cursor: string | undefined): string {
  const parameters = new URLSearchParams({ consistency, limit: String(PAGE_ROWS) });
  if (cursor !== undefined) parameters.set('cursor', cursor);
  return parameters.toString();
}

async function eachPage(read: (cursor: string | undefined) => Promise<string | undefined>): Promise<void> {
  let cursor: string | undefined;
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    cursor = await read(cursor);
    if (cursor === undefined) return;
  }
  throw new Error(`a list did not end after ${PAGES_MAX} pages`);
}

function addOnce<T>(rows: Map<string, T>, id: string, row: T): void {
  if (rows.has(id)) throw new Error(`${id} is listed twice`);
  rows.set(id, row);
}

/** Ids whose rows differ between two replicas, or are in one only; at most `count` of them. */
export function differences(a: Replica, b: Replica, count = 5): string[] {
  const found: string[] = [];
  for (const part of ['messages', 'instances'] as const) {
    const ids = new Set([...a[part].keys(), ...b[part].keys()]);
    for (const id of ids) {
      const [left, right] = [JSON.stringify(a[part].get(id)), JSON.stringify(b[part].get(id))];
      if (left !== right) found.push(`${part} ${id}: ${left} / ${right}`);
      if (found.length >= count) return found;
    }
  }
  return found;
}
