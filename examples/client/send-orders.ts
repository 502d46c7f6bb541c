/**
 * Sends orders over the binary protocol, as fast as the cluster takes them, and says what became of them:
 *
 *     node examples/client/send-orders.ts 127.0.0.1:7400 1000
 *
 * `DISTRIC_API_KEY` holds the key, where the cluster wants one; without `tls` it goes to this machine only.
 */
import { DistricClient, type OutgoingMessage } from 'distric/client';

const BATCH = 100;

/** An order has a number, so sending it again, even from another process, makes no second one. */
function* orders(count: number): Generator<OutgoingMessage[]> {
  for (let first = 0; first < count; first += BATCH) {
    yield Array.from({ length: Math.min(BATCH, count - first) }, (_, i) => ({
      payload: { event_type: 'order.created', order: { id: first + i, amount: 10 * (first + i) } },
      idempotencyKey: `order-${first + i}`,
    }));
  }
}

const [servers = '127.0.0.1:7400', count = '1000'] = process.argv.slice(2);
const apiKey = process.env['DISTRIC_API_KEY'];
const client = await DistricClient.connect({
  servers: servers.split(','),
  source: 'shop',
  ...(apiKey === undefined ? {} : { apiKey }),
});
let accepted = 0;
let started = 0;
for await (const outcomes of client.sendStream(orders(Number(count)))) {
  for (const outcome of outcomes) {
    if ('error' in outcome) console.error(`${outcome.error.code}: ${outcome.error.message}`);
    else {
      accepted++;
      started += outcome.accepted.instances.length;
    }
  }
}
console.log(`${accepted} of ${count} accepted, ${started} instances started`);
await client.close();
if (accepted < Number(count)) process.exitCode = 1;
