/** Sends the deliveries, a bounded number at a time, each until the cluster has acknowledged it. */
import type { AcceptedMessage } from '../../api/rest.ts';
import { Latencies } from '../../bench/latency.ts';
import { ProblemError } from '../../cli/client.ts';
import { CliError } from '../../cli/exit-code.ts';
import { RestClient } from '../../cli/client.ts';
import type { GithubMessage } from '../../examples/github/deliveries.ts';

const IN_FLIGHT_MAX = 16;
const SEND_TIMEOUT_MS = 20_000;
/** A delivery is given up after this many tries of SEND_TIMEOUT_MS. */
const TRIES_MAX = 3;

export interface Acknowledged {
  messageId: string;
  workflows: readonly string[];
  instances: readonly string[];
}

export interface ReplayResult {
  /** By delivery id. */
  acknowledged: Map<string, Acknowledged>;
  /** Deliveries the cluster refused or never answered, and why. */
  failed: { id: string; reason: string }[];
  latencies: Latencies;
  /** Acknowledgements as they came, for the time a failover took: when the request began and ended. */
  answers: { beganMs: number; endedMs: number }[];
  tookMs: number;
}

export async function replay(
  servers: readonly string[],
  apiKey: string | undefined,
  messages: readonly GithubMessage[],
  onProgress: (acknowledged: number) => void,
): Promise<ReplayResult> {
  const result: ReplayResult = {
    acknowledged: new Map(),
    failed: [],
    latencies: new Latencies(),
    answers: [],
    tookMs: 0,
  };
  const startedMs = performance.now();
  let next = 0;
  const sender = async (lane: number): Promise<void> => {
    // Each lane begins at another coordinator: any of them takes any message.
    const turned = [...servers.slice(lane % servers.length), ...servers.slice(0, lane % servers.length)];
    const client = new RestClient(turned, SEND_TIMEOUT_MS, apiKey);
    for (let message = messages[next++]; message !== undefined; message = messages[next++]) {
      const beganMs = performance.now();
      const id = message.delivery.id;
      try {
        const accepted = await sendOne(client, message);
        const endedMs = performance.now();
        result.acknowledged.set(id, {
          messageId: accepted.message_id,
          workflows: accepted.workflows_triggered,
          instances: accepted.instances,
        });
        result.latencies.record(endedMs - beganMs);
        result.answers.push({ beganMs, endedMs });
        onProgress(result.acknowledged.size);
      } catch (error) {
        result.failed.push({ id, reason: error instanceof Error ? error.message : String(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT_MAX }, (_, lane) => sender(lane)));
  result.tookMs = performance.now() - startedMs;
  return result;
}

/** The idempotency key makes a second try harmless, whatever became of the first. */
async function sendOne(client: RestClient, message: GithubMessage): Promise<AcceptedMessage> {
  for (let tries = 1; ; tries++) {
    try {
      return await client.request<AcceptedMessage>({
        method: 'POST',
        path: '/messages',
        body: JSON.stringify(message),
        idempotencyKey: message.delivery.id,
      });
    } catch (error) {
      const final = !(error instanceof CliError) || (error instanceof ProblemError && error.status < 500);
      if (final || tries === TRIES_MAX) throw error;
    }
  }
}
