/** What is sent and what it meets: deterministic, so that two runs do the same work. */
export const VALUE_BYTES = 256;
export const RULES = 100;
export const WORKFLOW_ID = 'bench-one-task';

const AMOUNT_THRESHOLD = 1_000;

/** One task that does nothing but say so below the log level. */
export const WORKFLOW = {
  id: WORKFLOW_ID,
  version: '1',
  tasks: [{ id: 'only', type: 'log', config: { message: 'benchmark', level: 'debug' } }],
};

/** Each rule waits for its own event type and a large amount: the type is found by index, the amount decides. */
export function benchRules(): { id: string }[] {
  return Array.from({ length: RULES }, (_, index) => ({
    id: `bench-rule-${index}`,
    version: 1,
    priority: index,
    enabled: true,
    conditions: {
      combinator: 'AND',
      conditions: [
        { field: 'event_type', op: 'equals', value: eventType(index) },
        { field: 'order.amount', op: 'greater_than', value: AMOUNT_THRESHOLD },
        { field: 'order.region', op: 'in', value: ['eu-west', 'eu-north', 'us-east'] },
      ],
    },
    actions: [{ workflow: WORKFLOW_ID }],
  }));
}

/** A message of exactly VALUE_BYTES bytes (ASCII); `matches` decides whether a rule starts an instance for it. */
export function benchMessage(sequence: number, matches: boolean): string {
  const order = { id: sequence, amount: matches ? AMOUNT_THRESHOLD * 2 : 10, region: 'eu-west', currency: 'EUR' };
  const message = { event_type: eventType(sequence % RULES), order, note: '' };
  const missingBytes = VALUE_BYTES - JSON.stringify(message).length;
  return JSON.stringify({ ...message, note: 'x'.repeat(missingBytes) });
}

/** `count` messages from `first` on; every `matchEvery`-th starts an instance, none when it is 0. */
export function benchMessages(first: number, count: number, matchEvery: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const sequence = first + index;
    return benchMessage(sequence, matchEvery > 0 && sequence % matchEvery === 0);
  });
}

function eventType(index: number): string {
  return `order.created.${index}`;
}
