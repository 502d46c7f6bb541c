/** Holds what a replica tells against what its clients were told: the promises on ingestion and results. */
import type { InstanceResource } from '../api/rest.ts';
import type { Sent } from './load-client.ts';
import type { Replica } from './replica.ts';

const TERMINAL = new Set(['COMPLETED', 'FAILED', 'TIMED_OUT', 'CANCELLED']);

/** What is wrong, in words; empty when every promise was kept. */
export function violations(sent: ReadonlyMap<string, Sent>, replica: Replica): string[] {
  const found: string[] = [];
  const kept = idsByMarker(replica);
  for (const record of sent.values()) found.push(...messageFaults(record, kept.get(record.marker) ?? [], replica));
  for (const marker of kept.keys()) if (!sent.has(marker)) found.push(`${marker}: kept and never sent`);
  for (const instance of replica.instances.values()) found.push(...instanceFaults(instance, replica));
  return found;
}

function idsByMarker({ messages }: Replica): Map<string, string[]> {
  const ids = new Map<string, string[]>();
  for (const { message_id: id, payload } of messages.values()) {
    const { marker } = payload as { marker: string };
    ids.set(marker, [...(ids.get(marker) ?? []), id]);
  }
  return ids;
}

function messageFaults({ marker, keyed, acknowledged, unknown }: Sent, kept: string[], replica: Replica): string[] {
  const found: string[] = [];
  const told = new Set(acknowledged.map(({ messageId }) => messageId));
  for (const { messageId, instances } of acknowledged) {
    if (!kept.includes(messageId)) found.push(`${marker}: acknowledged as ${messageId} and lost`);
    const there = [...replica.instances.values()].filter(({ message_id: id }) => id === messageId).map(({ id }) => id);
    if (there.sort().join() !== [...instances].sort().join()) {
      found.push(`${marker}: told of instances [${instances.join()}], there are [${there.join()}]`);
    }
  }
  if (told.size > 1) found.push(`${marker}: acknowledged under ${told.size} ids`);
  // A refusal keeps nothing, so only a try of unknown outcome may have left another message with this marker.
  const keptMax = keyed ? 1 : told.size + unknown;
  if (kept.length > keptMax) found.push(`${marker}: kept ${kept.length} times, at most ${keptMax} are explained`);
  return found;
}

function instanceFaults(instance: InstanceResource, { messages }: Replica): string[] {
  const { id, status, message_id: messageId, tasks } = instance;
  const found: string[] = [];
  if (!TERMINAL.has(status)) found.push(`instance ${id} is still ${status}`);
  if (!messages.has(messageId)) found.push(`instance ${id} belongs to no message`);
  for (const task of tasks) {
    if (status === 'COMPLETED' && task.status !== 'COMPLETED') found.push(`task ${id}/${task.id} is ${task.status}`);
    if (task.type !== 'witness' || task.status !== 'COMPLETED') continue;
    const output = task.output as { token?: number; message_id?: string } | undefined;
    if (output?.token !== task.token) {
      found.push(`task ${id}/${task.id}: result of token ${output?.token}, the current one is ${task.token}`);
    }
    if (output?.message_id !== messageId) found.push(`task ${id}/${task.id}: result of another message`);
  }
  return found;
}
