/** `distric send --binary`: the client library, with its outcomes in the words of REST. */
import type { BatchResult } from '../api/rest.ts';
import { DistricClient, type SendOutcome } from '../client/client.ts';
import type { Session } from './session.ts';

const BATCH = 500;

export interface BinarySendOptions {
  /** Of a single message. */
  key?: string | undefined;
  /** `host:port` of coordinators; default those of the local cluster. */
  peers?: readonly string[] | undefined;
}

/** Sends all `texts`, each one message, and tells the outcome of each. */
export async function sendBinary(
  session: Session,
  texts: readonly string[],
  { key, peers }: BinarySendOptions,
): Promise<BatchResult> {
  const deadlineMs = session.options.timeout * 1_000;
  const client = await DistricClient.connect(await session.binaryOptions(peers), { deadlineMs });
  try {
    const result: BatchResult = { items: [], accepted: 0, refused: 0, unknown: 0 };
    for await (const outcomes of client.sendStream(batchesOf(texts, key), { deadlineMs })) {
      for (const outcome of outcomes) add(result, outcome);
    }
    return result;
  } finally {
    await client.close();
  }
}

function* batchesOf(texts: readonly string[], key: string | undefined) {
  for (let first = 0; first < texts.length; first += BATCH) {
    const batch = texts.slice(first, first + BATCH);
    yield batch.map((payload) => (key === undefined ? { payload } : { payload, idempotencyKey: key }));
  }
}

function add(result: BatchResult, outcome: SendOutcome): void {
  const index = result.items.length;
  if ('accepted' in outcome) {
    const { messageId, workflowsTriggered, instances, duplicate } = outcome.accepted;
    result.accepted++;
    result.items.push({
      index,
      message_id: messageId,
      status: 'accepted',
      workflows_triggered: [...workflowsTriggered],
      instances: [...instances],
      duplicate,
    });
    return;
  }
  const { code, message, fields, status } = outcome.error;
  const unknown = status === 504;
  if (unknown) result.unknown++;
  else result.refused++;
  result.items.push({ index, status: unknown ? 'unknown' : 'refused', code, detail: message, errors: [...fields] });
}
