import { encodeMessage, decodeMessage, type Message } from '../node/core/tlv/messages.ts';
import { nodeHost } from '../node/io/host.ts';
import { atMost, type Row } from './report.ts';

const BATCH = 200;
const BATCHES = 400;
/** The first ones run before the compiler has seen enough. */
const WARMUP_BATCHES = 200;
const LIMIT_US = 1;

const ID = '0198c0de-5c1b-7d2e-9a41-0c3f6f0e2b11';

function bytes(count: number): Uint8Array {
  return new Uint8Array(count).fill(0x61);
}

/** The messages of which there are the most, as they come: an entry and a task's context of about a kilobyte. */
const HOT: readonly Message[] = [
  {
    kind: 'APPEND_ENTRIES',
    body: {
      term: 7,
      leaderId: 'coordinator-1',
      prevLogIndex: 123_456,
      prevLogTerm: 7,
      leaderCommit: 123_450,
      entries: [bytes(1_024)],
      readRound: 9,
      cutBefore: 100_000,
    },
  },
  {
    kind: 'APPEND_ENTRIES_RESPONSE',
    body: {
      term: 7,
      success: true,
      matchIndex: 123_457,
      lastLogIndex: 123_457,
      hintIndex: 0,
      hintTerm: 0,
      readRound: 9,
      wallMs: 1_700_000_000_000,
      hashIndex: 123_392,
      stateHash: 0x1234_5678,
    },
  },
  {
    kind: 'TASK_ASSIGN',
    body: {
      instanceId: ID,
      taskId: 'validate',
      token: 123_457,
      attempt: 1,
      type: 'http',
      timeoutMs: 30_000,
      context: bytes(1_024),
    },
  },
  {
    kind: 'TASK_RESULT',
    body: {
      session: ID,
      results: [{ instanceId: ID, taskId: 'validate', token: 123_457, status: 'ok', output: bytes(256) }],
    },
  },
  {
    kind: 'FORWARD_PROPOSE',
    body: { requestId: 77, commandKind: 1, command: bytes(1_024), catalogVersion: 3 },
  },
  { kind: 'CLIENT_MESSAGE', body: { items: [{ payload: bytes(1_024), idempotencyKey: ID }] } },
];

/** Encoding and decoding one message, the median over batches; each must stay under a microsecond. */
export function measureWire(): Row[] {
  return HOT.flatMap((message) => {
    const { code, payload } = encodeMessage(nodeHost, message);
    const name = `${message.kind}, ${payload.length} bytes`;
    return [
      atMost(
        `encode ${name}`,
        medianUs(() => encodeMessage(nodeHost, message)),
        'µs',
        LIMIT_US,
      ),
      atMost(
        `decode ${name}`,
        medianUs(() => decodeMessage(nodeHost, code, payload)),
        'µs',
        LIMIT_US,
      ),
    ];
  });
}

/** Of one call. A batch is long enough for the clock, and short enough that few are interrupted. */
function medianUs(call: () => unknown): number {
  const samplesUs: number[] = [];
  for (let batch = -WARMUP_BATCHES; batch < BATCHES; batch++) {
    const startedMs = performance.now();
    for (let i = 0; i < BATCH; i++) call();
    if (batch >= 0) samplesUs.push(((performance.now() - startedMs) * 1_000) / BATCH);
  }
  samplesUs.sort((a, b) => a - b);
  return samplesUs[BATCHES / 2] ?? 0;
}
