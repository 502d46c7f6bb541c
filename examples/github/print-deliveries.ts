/**
 * Prints every delivery as one line of JSON, for `distric send --ndjson -`.
 * `--rounds N` prints all of them N times, each round with ids of its own.
 */
import { parseArgs } from 'node:util';
import { deliveryMessage, loadDeliveries } from './deliveries.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '1' } } });
const rounds = Number(values.rounds);
if (!Number.isSafeInteger(rounds) || rounds < 1) {
  throw new RangeError(`--rounds takes a positive whole number, not ${JSON.stringify(values.rounds)}`);
}

const deliveries = loadDeliveries();
for (let round = 0; round < rounds; round += 1) {
  const lines = deliveries.map((delivery) => `${JSON.stringify(deliveryMessage(delivery, round))}\n`);
  process.stdout.write(lines.join(''));
}
