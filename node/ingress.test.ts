import { ANONYMOUS } from '../api/access.ts';
import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Rule } from '../api/rule.ts';
import { Random } from '../base/random.ts';
import { COMMAND, MessageBatch, MessageItem, PutDocument } from './core/state/commands.ts';
import type { ProposalResult } from './core/state/outcomes.ts';
import { decode } from './core/tlv/struct.ts';
import {
  BATCH_BYTES_MAX,
  BATCH_INSTANCES_MAX,
  BATCH_ROWS_MAX,
  BATCH_ITEMS_MAX,
  Ingress,
  RETRY_MS,
  SUBMIT_DEADLINE_MS,
  UNANSWERED_ITEMS_MAX,
} from './ingress.ts';
import { nodeHost } from './io/host.ts';
import type { Input } from './ports.ts';
import type { IncomingItem, ItemOutcome } from './requests.ts';
import { CountingMetrics } from './test-cluster.ts';

type Propose = Extract<Input, { kind: 'propose' }>;

const DONE: ProposalResult = { errorFields: [], items: [] };
const RULE: Rule = {
  id: 'r',
  version: '1@x',
  priority: 0,
  enabled: true,
  conditions: { field: 'event_type', op: 'equals', value: 'go' },
  actions: [{ workflow: 'w' }],
};

let nowMs: number;
let sent: Input[];
let metrics: CountingMetrics;
let ingress: Ingress;

beforeEach(() => {
  nowMs = 1_000;
  sent = [];
  metrics = new CountingMetrics();
  ingress = new Ingress({
    host: nodeHost,
    random: new Random(1),
    metrics: metrics.coordinator,
    toCore: (input) => sent.push(input),
    clock: () => ({ monotonicMs: nowMs, wallMs: 1_700_000_000_000 + nowMs }),
  });
});

function catalog(version: number, rules: readonly Rule[] = [], rowsOfEach = 2): void {
  const rows = new Map(rules.map(({ id }) => [id, rowsOfEach]));
  ingress.onReply({ kind: 'catalog', version, rules, rows });
}

function item(value: Record<string, unknown> = {}, more: Partial<IncomingItem> = {}): IncomingItem {
  return { value, payload: Buffer.from(JSON.stringify(value)), ...more };
}

function submit(items: readonly IncomingItem[], scope = 's'): { outcomes?: readonly ItemOutcome[] } {
  const answer: { outcomes?: readonly ItemOutcome[] } = {};
  ingress.submit(items, scope, (outcomes) => {
    expect(answer.outcomes).toBeUndefined();
    answer.outcomes = outcomes;
  });
  return answer;
}

/** What went to the core since the last call. */
function proposals(): Propose[] {
  return sent.splice(0).filter((input) => input.kind === 'propose');
}

function itemsOf({ command }: Propose): MessageItem[] {
  return decode(nodeHost, MessageBatch, command).items.map((bytes) => decode(nodeHost, MessageItem, bytes));
}

function reply({ requestId }: Propose, result: ProposalResult | undefined): void {
  ingress.onReply({ kind: 'proposed', requestId, result });
}

function refusal(errorCode: string): ProposalResult {
  return { ...DONE, errorCode, errorText: 'because' };
}

function codes(outcomes: readonly ItemOutcome[] | undefined): string[] | undefined {
  return outcomes?.map((outcome) => ('error' in outcome ? outcome.error.code : 'accepted'));
}

describe('a submission', () => {
  it('is evaluated once the catalog is known, and goes out as one batch per turn', () => {
    const answers = [submit([item({ event_type: 'go' })]), submit([item(), item()])];
    ingress.flush();
    expect(proposals()).toEqual([]);
    catalog(4, [RULE]);
    ingress.flush();
    const [batch] = proposals();
    expect(batch).toMatchObject({ commandKind: COMMAND.messages, catalogVersion: 4 });
    expect(decode(nodeHost, MessageBatch, batch!.command).catalogVersion).toBe(4);
    expect(itemsOf(batch!).map(({ matched }) => matched)).toEqual([['r@1@x'], [], []]);
    reply(batch!, DONE);
    expect(answers.map(({ outcomes }) => codes(outcomes))).toEqual([['accepted'], ['accepted', 'accepted']]);
    expect(ingress.unanswered).toBe(0);
    expect([metrics.of('received'), metrics.of('accepted'), metrics.of('evaluated')]).toEqual([3, 3, 3]);
  });

  it('gets what was applied, item by item and in order', () => {
    catalog(1);
    const answer = submit([item({ n: 1 }), item({ n: 2 }), item({ n: 3 })]);
    ingress.flush();
    const [batch] = proposals();
    const started = [{ id: 'x-1', workflow: 'w' }];
    reply(batch!, {
      errorFields: [],
      items: [
        { messageId: 'first', duplicate: true, started },
        { messageId: 'x', duplicate: false, started: [], errorCode: 'IDEMPOTENCY_CONFLICT', errorText: 'other body' },
        { messageId: 'y', duplicate: false, started: [] },
      ],
    });
    expect(answer.outcomes).toMatchObject([
      { accepted: { messageId: 'first', workflowsTriggered: ['w'], instances: ['x-1'], duplicate: true } },
      { error: { code: 'IDEMPOTENCY_CONFLICT', message: 'other body' } },
      { accepted: { messageId: 'y', instances: [] } },
    ]);
    expect([metrics.of('accepted'), metrics.of('refused IDEMPOTENCY_CONFLICT')]).toEqual([2, 1]);
  });

  it('carries key, source and headers', () => {
    catalog(1);
    submit([item({}, { idempotencyKey: 'k', source: 'shop', headers: { 'x-a': '1' } })], 'source:shop');
    ingress.flush();
    const [kept] = itemsOf(proposals()[0]!);
    expect(kept).toMatchObject({ source: 'shop', headers: '{"x-a":"1"}' });
    expect(kept!.scopedKey).toContain('source:shop');
  });

  it('never shares an idempotency key with another scope, whatever characters are in them', () => {
    catalog(1);
    const text = fc.string({ unit: fc.constantFrom('a', '/', '%', '2', 'f', '5'), minLength: 1, maxLength: 4 });
    const keyOf = (scope: string, idempotencyKey: string) => {
      submit([item({}, { idempotencyKey })], scope);
      ingress.flush();
      return itemsOf(proposals()[0]!)[0]!.scopedKey;
    };
    fc.assert(
      fc.property(text, text, text, text, (scope, key, otherScope, otherKey) => {
        const same = scope === otherScope && key === otherKey;
        expect(keyOf(scope, key) === keyOf(otherScope, otherKey)).toBe(same);
      }),
    );
    expect(keyOf('a', 'b/c')).not.toBe(keyOf('a/b', 'c'));
  });

  it('is split into batches by count and by bytes', () => {
    catalog(1);
    submit(Array.from({ length: BATCH_ITEMS_MAX + 1 }, () => item()));
    ingress.flush();
    expect(proposals().map((batch) => itemsOf(batch).length)).toEqual([BATCH_ITEMS_MAX, 1]);
    const third = item({ text: 'x'.repeat(BATCH_BYTES_MAX / 3) });
    submit([third, third, third, item({ text: 'x'.repeat(2 * BATCH_BYTES_MAX) }), item()]);
    ingress.flush();
    expect(proposals().map((batch) => itemsOf(batch).length)).toEqual([2, 1, 1, 1]);
  });

  it('is split by what headers and matched rules weigh, also when it is sent again', () => {
    catalog(1);
    const headers = { 'x-a': 'v'.repeat(4_000) };
    const answer = submit(Array.from({ length: 1_000 }, () => item({ event_type: 'go' }, { headers })));
    ingress.flush();
    const first = proposals();
    expect(first.length).toBeGreaterThan(7);
    // Under a catalog with more rules that match, each batch has outgrown the limit.
    catalog(
      2,
      Array.from({ length: 100 }, (_, n) => ({ ...RULE, id: `${'r'.repeat(50)}${String(n)}` })),
    );
    for (const batch of first) reply(batch, refusal('CATALOG_STALE'));
    nowMs += RETRY_MS;
    ingress.flush();
    const second = proposals();
    expect(second.length).toBeGreaterThan(first.length);
    for (const { command } of [...first, ...second]) expect(command.length).toBeLessThan(1.1 * BATCH_BYTES_MAX);
    for (const batch of second) reply(batch, DONE);
    expect(new Set(codes(answer.outcomes))).toEqual(new Set(['accepted']));
  });

  it('is split by the instances that it starts: the answer names each of them', () => {
    catalog(
      1,
      Array.from({ length: BATCH_INSTANCES_MAX / 2 }, (_, n) => ({ ...RULE, id: String(n) })),
    );
    submit(Array.from({ length: 5 }, () => item({ event_type: 'go' })));
    ingress.flush();
    expect(proposals().map((batch) => itemsOf(batch).length)).toEqual([2, 2, 1]);
  });

  it('is split by the instances and tasks that it starts, and says how many they are', () => {
    catalog(1, [RULE], 1 + 999);
    submit(Array.from({ length: BATCH_ROWS_MAX / 1_000 + 1 }, () => item({ event_type: 'go' })));
    ingress.flush();
    expect(proposals().map(({ rows }) => rows)).toEqual([BATCH_ROWS_MAX, 1_000]);
    // The workflow has grown since; the rules are the same.
    catalog(1, [RULE], BATCH_ROWS_MAX + 1);
    submit([item({ event_type: 'go' }), item({ event_type: 'go' }), item()]);
    ingress.flush();
    expect(proposals().map(({ rows }) => rows)).toEqual([BATCH_ROWS_MAX + 1, BATCH_ROWS_MAX + 1, 0]);
  });

  it('of nothing is answered at once', () => {
    expect(submit([]).outcomes).toEqual([]);
  });

  it('over the limit of waiting messages is refused whole', () => {
    submit(new Array<IncomingItem>(UNANSWERED_ITEMS_MAX).fill(item()));
    expect(codes(submit([item()]).outcomes)).toEqual(['QUEUE_FULL']);
    expect(metrics.of('refused QUEUE_FULL')).toBe(1);
  });

  it('that never sees a catalog is refused at the deadline, and counted', () => {
    const answer = submit([item()]);
    nowMs += SUBMIT_DEADLINE_MS - 1;
    ingress.flush();
    expect(answer.outcomes).toBeUndefined();
    nowMs += 1;
    ingress.flush();
    expect(codes(answer.outcomes)).toEqual(['NO_LEADER']);
    expect(metrics.of('refused NO_LEADER')).toBe(1);
  });
});

describe('a refused batch', () => {
  it.each(['NO_LEADER', 'BOOTSTRAPPING', 'CATALOG_STALE'])(
    'is sent again after %s with the same ids, evaluated anew',
    (code) => {
      catalog(1);
      const answer = submit([item({ event_type: 'go' })]);
      ingress.flush();
      const [first] = proposals();
      reply(first!, refusal(code));
      ingress.flush();
      expect(proposals()).toEqual([]);
      catalog(2, [RULE]);
      nowMs += RETRY_MS;
      ingress.flush();
      const [second] = proposals();
      expect(second!.catalogVersion).toBe(2);
      expect(itemsOf(second!)).toEqual([{ ...itemsOf(first!)[0]!, matched: ['r@1@x'] }]);
      reply(second!, DONE);
      expect(codes(answer.outcomes)).toEqual(['accepted']);
    },
  );

  it.each(['QUEUE_FULL', 'INVALID_REQUEST', 'STORAGE_FULL'])('is answered at once with %s', (code) => {
    catalog(1);
    const answer = submit([item(), item()]);
    ingress.flush();
    reply(proposals()[0]!, refusal(code));
    expect(codes(answer.outcomes)).toEqual([code, code]);
    expect(metrics.of(`refused ${code}`)).toBe(2);
  });

  it('at the deadline says the last reason, 503: nothing can have been kept', () => {
    catalog(1);
    const answer = submit([item()]);
    while (answer.outcomes === undefined && nowMs < 30_000) {
      ingress.flush();
      for (const batch of proposals()) reply(batch, refusal('NO_LEADER'));
      nowMs += RETRY_MS;
    }
    expect(nowMs).toBeGreaterThanOrEqual(1_000 + SUBMIT_DEADLINE_MS);
    expect(answer.outcomes).toMatchObject([{ error: { code: 'NO_LEADER', status: 503 } }]);
  });

  it('of which one try may have been kept is unknown, 504, whatever the later tries say', () => {
    catalog(1);
    for (const last of ['NO_LEADER', 'QUEUE_FULL']) {
      const answer = submit([item()]);
      ingress.flush();
      reply(proposals()[0]!, undefined);
      while (answer.outcomes === undefined) {
        nowMs += RETRY_MS;
        ingress.flush();
        for (const batch of proposals()) reply(batch, refusal(last));
      }
      expect(answer.outcomes).toMatchObject([{ error: { code: 'OUTCOME_UNKNOWN', status: 504 } }]);
    }
  });

  it('answers late items alone; younger ones of the same batch go on', () => {
    const old = submit([item()]);
    nowMs += SUBMIT_DEADLINE_MS - 100;
    const young = submit([item()]);
    catalog(1);
    ingress.flush();
    nowMs += 200;
    reply(proposals()[0]!, refusal('NO_LEADER'));
    expect(codes(old.outcomes)).toEqual(['NO_LEADER']);
    expect(young.outcomes).toBeUndefined();
    nowMs += RETRY_MS;
    ingress.flush();
    const [again] = proposals();
    expect(itemsOf(again!)).toHaveLength(1);
    reply(again!, DONE);
    expect(codes(young.outcomes)).toEqual(['accepted']);
  });

  it('that was given up as unknown is not disturbed by its late answer', () => {
    catalog(1);
    const answer = submit([item()]);
    ingress.flush();
    const [batch] = proposals();
    nowMs += SUBMIT_DEADLINE_MS;
    ingress.flush();
    expect(codes(answer.outcomes)).toEqual(['OUTCOME_UNKNOWN']);
    reply(batch!, DONE);
    expect(metrics.of('accepted')).toBe(0);
  });
});

describe('a command', () => {
  const command = { kind: 'putRule', rule: RULE, mode: 'create' } as const;

  function ask(): { outcome?: unknown } {
    const answer: { outcome?: unknown } = {};
    ingress.command(command, ANONYMOUS, (outcome) => {
      expect(answer.outcome).toBeUndefined();
      answer.outcome = outcome;
    });
    return answer;
  }

  it('is sent at once and gives the resource as stored', () => {
    const answer = ask();
    const [proposal] = proposals();
    expect(proposal!.commandKind).toBe(COMMAND.putRule);
    expect(decode(nodeHost, PutDocument, proposal!.command)).toMatchObject({
      mode: 'create',
      document: JSON.stringify(RULE),
    });
    reply(proposal!, { ...DONE, resource: '{"id":"r"}' });
    expect(answer.outcome).toEqual({ result: { id: 'r' } });
  });

  it('refused for now is sent again; refused for good is told with its fields', () => {
    const answer = ask();
    reply(proposals()[0]!, refusal('NO_LEADER'));
    nowMs += RETRY_MS;
    ingress.flush();
    reply(proposals()[0]!, {
      ...refusal('UNKNOWN_WORKFLOW'),
      errorFields: [{ field: 'actions[0].workflow', reason: 'no' }],
    });
    expect(answer.outcome).toMatchObject({
      error: { code: 'UNKNOWN_WORKFLOW', fields: [{ field: 'actions[0].workflow' }] },
    });
  });

  it('whose outcome is not known is not sent again: a second create would contradict the first', () => {
    const answer = ask();
    reply(proposals()[0]!, undefined);
    expect(answer.outcome).toMatchObject({ error: { code: 'OUTCOME_UNKNOWN' } });
    nowMs += 10 * RETRY_MS;
    ingress.flush();
    expect(proposals()).toEqual([]);
  });

  it('refused until the deadline tells the reason', () => {
    const answer = ask();
    while (answer.outcome === undefined && nowMs < 30_000) {
      ingress.flush();
      for (const proposal of proposals()) reply(proposal, refusal('BOOTSTRAPPING'));
      nowMs += RETRY_MS;
    }
    expect(answer.outcome).toMatchObject({ error: { code: 'BOOTSTRAPPING' } });
  });

  it('with an error that this version does not know is an internal one', () => {
    const answer = ask();
    reply(proposals()[0]!, refusal('FROM_THE_FUTURE'));
    expect(answer.outcome).toMatchObject({ error: { code: 'INTERNAL' } });
  });
});

describe('close()', () => {
  it('refuses what is new and gives up what waits to be sent again', () => {
    catalog(1);
    const waiting = submit([item()]);
    const unknown = submit([item()]);
    ingress.flush();
    const [batch] = proposals();
    reply(batch!, refusal('NO_LEADER'));
    nowMs += RETRY_MS;
    const inFlight = submit([item()]);
    ingress.flush();
    const [again, first] = proposals();
    reply(again!, refusal('NO_LEADER'));
    ingress.close();
    expect([codes(waiting.outcomes), codes(unknown.outcomes)]).toEqual([['NO_LEADER'], ['NO_LEADER']]);
    expect(codes(submit([item()]).outcomes)).toEqual(['SHUTTING_DOWN']);
    let refused: unknown;
    ingress.command({ kind: 'deleteRule', id: 'r' }, ANONYMOUS, (outcome) => (refused = outcome));
    expect(refused).toMatchObject({ error: { code: 'SHUTTING_DOWN' } });
    reply(first!, undefined);
    expect(codes(inFlight.outcomes)).toEqual(['OUTCOME_UNKNOWN']);
    expect(ingress.unanswered).toBe(0);
  });
});
