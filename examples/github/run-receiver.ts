/** Runs the receiver until it is stopped, and prints one line per notice. `--port N` (default 9080), `--fail-every N`. */
import { parseArgs } from 'node:util';
import { textAt } from './payload.ts';
import { startReceiver } from './receiver.ts';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '9080' }, 'fail-every': { type: 'string', default: '0' } },
});
const receiver = await startReceiver({
  port: Number(values.port),
  failEvery: Number(values['fail-every']),
  onNotice: (_key, notice) => {
    process.stdout.write(
      `${textAt(notice, 'channel').padEnd(20)} ${textAt(notice, 'title', 'markdown').split('\n', 1).join('')}\n`,
    );
  },
});
process.stdout.write(`listening on ${receiver.url}\n`);
