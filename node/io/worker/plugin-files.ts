import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errorText, type LoadError } from './plugin-protocol.ts';

const PLUGIN_FILE = /\.plugin\.(ts|js|mjs)$/;

/** The plugin files directly in `dirs`, as absolute paths, in a fixed order. */
export function findPluginFiles(dirs: readonly string[]): { files: string[]; errors: LoadError[] } {
  const files = new Set<string>();
  const errors: LoadError[] = [];
  for (const dir of dirs.map((path) => resolve(path))) {
    try {
      for (const name of readdirSync(dir).sort()) if (PLUGIN_FILE.test(name)) files.add(join(dir, name));
    } catch (thrown) {
      errors.push({ file: dir, error: `the plugin directory can't be read: ${errorText(thrown)}` });
    }
  }
  return { files: [...files], errors };
}
