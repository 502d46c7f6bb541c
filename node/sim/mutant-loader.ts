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
  const places = edits.map((edit) => {
    const count = occurrences(edit);
    if (count !== 1) throw new Error(`mutant ${name}: its text occurs ${count} times in ${edit.file}`);
    return { ...edit, url: pathToFileURL(join(ROOT_DIR, edit.file)).href };
  });
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const here = places.filter((place) => place.url === url);
      const { source } = loaded;
      if (here.length === 0 || source === undefined) return loaded;
      let text = typeof source === 'string' ? source : new TextDecoder().decode(source);
      for (const { find, replace } of here) text = text.replace(find, () => replace);
      return { ...loaded, source: text };
    },
  });
}
