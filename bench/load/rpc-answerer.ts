/**
 * The answering side of `bench rpc`, a process of its own: a node that accepts clients and gives each call its payload
 * back, and beside it a bare `node:net` echo of the same frames. Prints its ports as one line of JSON; tells its memory
 * and event-loop delay for each line on its standard input, and ends with that.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { encodeFrame, FRAME_FLAGS, FrameReader } from '../../node/core/tlv/frame.ts';
import { nodeHost } from '../../node/io/host.ts';
import { NO_LOG, NO_METRICS } from '../../node/io/net/net-metrics.ts';
import { PeerNet } from '../../node/io/net/peer-net.ts';
import { RpcServer } from '../../node/io/net/rpc-server.ts';

const CREDIT = { calls: 4_096, bytes: 8 * 1024 * 1024 };
const RESOLUTION_MS = 5;
const ANSWER = {
  success: true,
  matchIndex: 1,
  lastLogIndex: 1,
  hintIndex: 0,
  hintTerm: 0,
  wallMs: 0,
  hashIndex: 0,
  stateHash: 0,
};

/** The same frames, with CRC, and nothing else: no fields, no credit, no time-outs. */
function echoBare(socket: Socket): void {
  const reader = new FrameReader(nodeHost);
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    const answers: Uint8Array[] = [];
    reader.push(chunk, ({ typeCode, messageId, payload }) => {
      answers.push(encodeFrame(nodeHost, typeCode, FRAME_FLAGS.response, messageId, Date.now() * 1_000, payload));
    });
    if (answers.length > 0) socket.write(Buffer.concat(answers));
  });
}

const server = new RpcServer<null>({
  host: nodeHost,
  desk: {
    open: () => ({ session: null }),
    call: (_session, { message, done }) => {
      const result = message.kind === 'CLIENT_RESULT' ? message.body.result : Buffer.alloc(0);
      done({ message: { kind: 'CLIENT_RESULT', body: { result } } });
    },
    closed: () => undefined,
  },
  metrics: NO_METRICS,
  log: NO_LOG,
  limits: { credit: CREDIT },
});
const net = new PeerNet({
  self: { nodeId: 'answerer', role: 'coordinator', clusterName: 'bench' },
  host: nodeHost,
  listen: { host: '127.0.0.1', port: 0 },
  // As a follower to a heartbeat; entries are only received.
  onMessage: ({ nodeId }, { kind, body }) => {
    if (kind !== 'APPEND_ENTRIES' || body.entries.length > 0) return;
    const { term, readRound } = body;
    net.send(nodeId, { kind: 'APPEND_ENTRIES_RESPONSE', body: { ...ANSWER, term, readRound } });
  },
  onPeerUp: () => undefined,
  onPeerDown: () => undefined,
  metrics: NO_METRICS,
  log: NO_LOG,
  clients: server,
});
const bare = createServer(echoBare).listen(0, '127.0.0.1');
const { port } = await net.listen();
const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delays.enable();
console.log(JSON.stringify({ port, barePort: (bare.address() as AddressInfo).port }));

const lines = createInterface({ input: process.stdin });
lines.on('line', () => {
  globalThis.gc?.();
  const { rss } = process.memoryUsage();
  // What is measured is the interval between two looks, the resolution itself included.
  const delayP99Ms = Math.max(0, delays.percentile(99) / 1e6 - RESOLUTION_MS);
  delays.reset();
  console.log(JSON.stringify({ rss, delayP99Ms, callers: server.callers }));
});
lines.once('close', () => process.exit(0));
