/**
 * `markdown_file`: writes what the tasks before it made (their `markdown` outputs, in the order of their ids) to a file.
 * The directory is GITHUB_EXAMPLE_OUT, else `.distric/github` below the working directory; config.folder is a folder in it.
 *
 * The file is named after the idempotency key and put in place by one rename: a second attempt, even one that runs at
 * the same time, replaces the file by the same content instead of adding another. Output: {path, bytes}.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { definePlugin, TerminalError } from 'distric/plugin';
import { markdownOf } from '../payload.ts';

export const plugin = definePlugin<{ folder: string }>({
  name: 'markdown_file',
  version: '1.0.0',
  configSchema: {
    type: 'object',
    properties: { folder: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{0,62}$' } },
    required: ['folder'],
    additionalProperties: false,
  },
  async execute(ctx) {
    const parts = markdownOf(ctx.outputs);
    if (parts.length === 0) throw new TerminalError('write a markdown file: no task before this one made any markdown');
    const content = `${parts.map((part) => part.trim()).join('\n\n')}\n`;
    const root = process.env['GITHUB_EXAMPLE_OUT'] ?? path.join(process.cwd(), '.distric', 'github');
    const folder = path.join(root, ctx.config.folder);
    const file = path.join(folder, `${fileName(ctx.idempotencyKey)}.md`);
    await replaceFile(file, content, ctx.signal);
    return { path: file, bytes: Buffer.byteLength(content) };
  },
});

/** A key may hold characters that no file name can: what is left of it is made unique again by a hash. */
function fileName(key: string): string {
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 12);
  return `${key.replace(/[^A-Za-z0-9-]+/g, '_').slice(0, 100)}-${hash}`;
}

async function replaceFile(file: string, content: string, signal: AbortSignal): Promise<void> {
  const draft = `${file}.${randomUUID()}.draft`;
  await mkdir(path.dirname(file), { recursive: true });
  try {
    await writeFile(draft, content, { signal });
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
