/**
 * A client that means no good, as a process of its own: `node e2e/flood.ts URL REQUESTS_PER_SECOND SLOW_CONNECTIONS`.
 * Requests with a wrong key at the rate, and connections that send a header byte by byte. Ends when its input ends.
 */
import { Agent, request } from 'node:http';
import { connect } from 'node:net';

const [url = '', rate = '0', slow = '0'] = process.argv.slice(2);
const TICK_MS = 10;
const DRIP_MS = 500;
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const key = `dk_nobody_${'x'.repeat(43)}`;
const { hostname, port } = new URL(url);

let sent = 0;
const answers = new Map<number, number>();
const startedMs = performance.now();

function flood(): void {
  const due = ((performance.now() - startedMs) * Number(rate)) / 1_000;
  for (; sent < due; sent++) {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const one = request(`${url}/api/v1/messages`, { method: 'POST', agent, headers }, (response) => {
      const status = response.statusCode ?? 0;
      answers.set(status, (answers.get(status) ?? 0) + 1);
      response.resume();
    });
    one.on('error', () => answers.set(0, (answers.get(0) ?? 0) + 1));
    one.end('{"event_type":"flood"}');
  }
}

function drip(): void {
  const socket = connect(Number(port), hostname);
  socket.write('POST /api/v1/messages HTTP/1.1\r\nhost: x\r\nx-slow: ');
  const timer = setInterval(() => socket.write('a'), DRIP_MS);
  socket.on('error', () => undefined);
  socket.on('close', () => {
    clearInterval(timer);
  });
}

for (let i = 0; i < Number(slow); i++) drip();
setInterval(flood, TICK_MS);
process.stdin.on('end', () => {
  const result = JSON.stringify({ sent, answers: Object.fromEntries(answers) });
  process.stdout.write(`${result}\n`, () => process.exit(0));
});
process.stdin.resume();
process.stdout.write('flooding\n');
