/**
 * The real webhook deliveries that the package `@octokit/webhooks-examples` ships (MIT), as DistriC messages.
 *
 * GitHub names the event in a header and not in the body, so a message is the payload as it came, plus two fields:
 * `event_type` (`github.pull_request`, …) and `delivery.id`, which doubles as the idempotency key of the message.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

export interface Delivery {
  /** `<event>/<action or ->/<position among the event's examples>`: the same for one version of the package. */
  id: string;
  /** Name of the webhook event, as in the `X-GitHub-Event` header. */
  event: string;
  payload: Readonly<Record<string, unknown>>;
}

export interface GithubMessage extends Record<string, unknown> {
  event_type: string;
  delivery: { id: string };
}

interface WebhookExamples {
  name: string;
  examples: Record<string, unknown>[];
}

/** Reads all deliveries, in the order of the package: 329 in version 7.6. Throws when the package is not installed. */
export function loadDeliveries(): readonly Delivery[] {
  const file = createRequire(import.meta.url).resolve('@octokit/webhooks-examples');
  const events = JSON.parse(readFileSync(file, 'utf8')) as WebhookExamples[];
  return events.flatMap(({ name, examples }) =>
    examples.map((payload, position) => {
      const action = typeof payload['action'] === 'string' ? payload['action'] : '-';
      return { id: `${name}/${action}/${String(position)}`, event: name, payload };
    }),
  );
}

/**
 * The message of one delivery. A replay gives each round a number of its own: the id then differs, so that the
 * cluster sees a new message and not a duplicate.
 */
export function deliveryMessage(delivery: Delivery, round = 0): GithubMessage {
  const id = round === 0 ? delivery.id : `${delivery.id}#${String(round)}`;
  return { ...delivery.payload, event_type: `github.${delivery.event}`, delivery: { id } };
}
