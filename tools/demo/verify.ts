/**
 * Looks at the cluster from outside, as a distrustful user would: what was acknowledged must be there, once, with the
 * instances that the acknowledgement named, each ended, and with the same committed results on every coordinator.
 */
import type { InstanceResource, MessageResource } from '../../api/rest.ts';
import { RestClient } from '../../cli/client.ts';
import type { Acknowledged } from './replay.ts';

const IN_FLIGHT_MAX = 16;
const TIMEOUT_MS = 20_000;
const TERMINAL = new Set(['COMPLETED', 'FAILED', 'TIMED_OUT', 'CANCELLED']);

export interface Verification {
  /** Acknowledged messages that are missing, or without an instance they were acknowledged with. */
  lost: string[];
  /** Tasks for which two coordinators hold different committed results, and deliveries that became two messages. */
  duplicateResults: string[];
  /** Instances that have not ended. */
  unfinished: string[];
  matchedPerRule: Map<string, number>;
  instancesByStatus: Map<string, number>;
  tasks: number;
  retries: number;
  redispatches: number;
}

export async function verify(
  servers: readonly string[],
  apiKey: string | undefined,
  acknowledged: ReadonlyMap<string, Acknowledged>,
  onProgress: (checked: number) => void,
): Promise<Verification> {
  const found: Verification = {
    lost: [],
    duplicateResults: [],
    unfinished: [],
    matchedPerRule: new Map(),
    instancesByStatus: new Map(),
    tasks: 0,
    retries: 0,
    redispatches: 0,
  };
  // One client per coordinator, so that "what each of them holds" is what is compared.
  const each = servers.map((server) => new RestClient([server], TIMEOUT_MS, apiKey));
  const any = new RestClient(servers, TIMEOUT_MS, apiKey);
  const work = [...acknowledged.values()];
  const messageIds = new Set(work.map(({ messageId }) => messageId));
  if (messageIds.size !== work.length) found.duplicateResults.push('two deliveries were given one message id');
  let next = 0;
  let checked = 0;
  const checker = async (): Promise<void> => {
    for (let item = work[next++]; item !== undefined; item = work[next++]) {
      await checkMessage(any, each, item, found);
      onProgress(++checked);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT_MAX }, checker));
  return found;
}

async function checkMessage(
  any: RestClient,
  each: readonly RestClient[],
  { messageId, instances }: Acknowledged,
  found: Verification,
): Promise<void> {
  let message: MessageResource;
  try {
    message = await any.get<MessageResource>(`/messages/${messageId}`);
  } catch {
    found.lost.push(messageId);
    return;
  }
  for (const { id } of message.matched_rules) {
    found.matchedPerRule.set(id, (found.matchedPerRule.get(id) ?? 0) + 1);
  }
  const there = message.instances.map(({ id }) => id);
  if (there.length !== instances.length || instances.some((id) => !there.includes(id))) found.lost.push(messageId);
  for (const id of there) await checkInstance(any, each, id, found);
}

async function checkInstance(
  any: RestClient,
  each: readonly RestClient[],
  id: string,
  found: Verification,
): Promise<void> {
  const path = `/workflows/${encodeURIComponent(id)}`;
  const instance = await any.get<InstanceResource>(path);
  found.instancesByStatus.set(instance.status, (found.instancesByStatus.get(instance.status) ?? 0) + 1);
  if (!TERMINAL.has(instance.status)) found.unfinished.push(id);
  for (const task of instance.tasks) {
    found.tasks++;
    found.redispatches += task.redispatches;
    found.retries += Math.max(0, task.attempts - 1 - task.redispatches);
  }
  const expected = results(instance);
  const copies = await Promise.all(each.map((client) => client.get<InstanceResource>(path, { consistency: 'stale' })));
  if (copies.some((copy) => results(copy) !== expected)) found.duplicateResults.push(id);
}

/** What is committed for each task: its status, the token of the attempt that won, and its output. */
function results(instance: InstanceResource): string {
  return JSON.stringify(instance.tasks.map(({ id, status, token, output }) => [id, status, token, output]));
}
