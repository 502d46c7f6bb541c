/** What a plugin gets to see of its task, spliced from JSON that is already text in the state. */
import { assert } from '../../../base/assert.ts';
import { DistricError } from '../../../base/errors.ts';
import { encodeText, type Host } from '../../../base/host.ts';
import { FRAME_PAYLOAD_BYTES_MAX } from '../tlv/frame.ts';
import type { Body } from '../tlv/messages.ts';
import { outputKey } from './keys.ts';
import type { StateMachine } from './machine.ts';

/** Of the JSON that an attempt gets; a frame carries it, together with some ids. */
export const CONTEXT_BYTES_MAX = FRAME_PAYLOAD_BYTES_MAX - 16 * 1024;

function concat(host: Host, parts: readonly Uint8Array[]): Uint8Array {
  const whole = host.alloc(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/**
 * The assignment to push for the attempt that is running at `position`; undefined when it has ended meanwhile.
 * Throws PAYLOAD_TOO_LARGE when its context is over CONTEXT_BYTES_MAX: no worker will ever get it.
 */
export function taskAssignment(
  host: Host,
  state: StateMachine,
  instanceId: string,
  position: number,
): Body<'TASK_ASSIGN'> | undefined {
  const instance = state.instances.active.get(instanceId);
  const task = instance?.tasks[position];
  if (instance === undefined || task?.status !== 'RUNNING') return undefined;
  const plan = state.instances.planOf(instance);
  const planned = plan.tasks[position];
  assert(planned !== undefined, 'a running task is a task of the plan');
  const text = (value: string): Uint8Array => encodeText(host, value);
  const payload = state.messages.get(instance.messageId)?.payload ?? text('null');
  const parts = [
    text(
      `{"workflow":${JSON.stringify(instance.workflow)},"revision":${String(instance.revision)},` +
        `"message_id":${JSON.stringify(instance.messageId)},"config":${planned.configJson},` +
        `"params":${JSON.stringify(instance.params ?? {})},"message":`,
    ),
    payload,
    text(',"outputs":{'),
  ];
  let bytes = parts.reduce((sum, part) => sum + part.length, 0);
  planned.dependsOn.forEach((dependency, i) => {
    const id = plan.tasks[dependency]?.id ?? '';
    parts.push(text(`${i === 0 ? '' : ','}${JSON.stringify(id)}:`));
    const output = state.reader.get(outputKey(instanceId, id)) ?? text('null');
    bytes += output.length;
    // Looked at one by one: a thousand outputs are more than should ever be in memory together.
    if (bytes > CONTEXT_BYTES_MAX) throw contextTooLarge();
    parts.push(output);
  });
  parts.push(text('}}'));
  const context = concat(host, parts);
  if (context.length > CONTEXT_BYTES_MAX) throw contextTooLarge();
  return {
    instanceId,
    taskId: planned.id,
    token: task.token,
    attempt: task.attempts,
    type: planned.type,
    timeoutMs: planned.timeoutMs,
    context,
  };
}

function contextTooLarge(): DistricError {
  return new DistricError(
    'PAYLOAD_TOO_LARGE',
    `message, params, config and outputs of the dependencies are over ${String(CONTEXT_BYTES_MAX)} bytes together`,
  );
}
