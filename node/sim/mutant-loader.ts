/** Plants a bug: changes the source text of modules while Node loads them. Call it before the simulation is imported. */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Edit, Mutant } from './mutants.ts';

const ROOT_DIR = join(import.meta.dirname, '..', '..');

/** How often the text to replace occurs in its file: exactly once, or the bug cannot be planted. */
export function occurrences({ file, find }: Edit): number {
  return readFileSync(join(ROOT_DIR, file), 'utf8').split(find).length - 1;
}

export function plant({ name, edits }: Mutant): void {
  const byUrl = new Map<string, Edit[]>();
  for (const edit of edits) {
    if (occurrences(edit) !== 1)
      throw new Error(`mutant ${name}: its text occurs ${occurrences(edit)} times in ${edit.file}`);
    const url = pathToFileURL(join(ROOT_DIR, edit.file)).href;
    byUrl.set(url, [...(byUrl.get(url) ?? []), edit]);
  }
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const edits = byUrl.get(url);
      if (edits === undefined || loaded.source === undefined || loaded.source === null) return loaded;
      const { source } = loaded;
      const text = typeof source === 'string' ? source : new TextDecoder().decode(source);
      const mutated = edits.reduce((before, { find, replace }) => before.replace(find, () => replace), text);
      return { ...loaded, source: mutated };
    },
  });
}
