/** `node tools/record-vectors.ts`: adds the frames that are not recorded yet; those that are stay as they are. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { missingVectors, type Vector } from '../node/core/tlv/vectors.ts';
import { nodeHost } from '../node/io/host.ts';
import { ROOT_DIR } from './steps.ts';

const file = join(ROOT_DIR, 'node/core/tlv/vectors/messages.json');
const recorded = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Vector[]) : [];
const added = missingVectors(nodeHost, recorded);
if (added.length > 0) {
  mkdirSync(dirname(file), { recursive: true });
  const text = JSON.stringify([...recorded, ...added]);
  writeFileSync(file, await format(text, { ...(await resolveConfig(file)), filepath: file }));
}
for (const { kind, form } of added) console.log(`recorded ${kind}, ${form}`);
console.log(`${recorded.length + added.length} vectors, ${added.length} of them new`);
