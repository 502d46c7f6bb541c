import { describe, expect, it } from '@jest/globals';
import { LoadedPlugins } from './loaded-plugins.ts';

function loaded(files: readonly string[]): { plugins: LoadedPlugins; logged: string[] } {
  const logged: string[] = [];
  const line = (_message: string, fields: Record<string, unknown> = {}) => {
    logged.push(String(fields['plugin_file']));
  };
  return { plugins: new LoadedPlugins(files, { debug: line, info: line, warn: line, error: line }), logged };
}

describe('LoadedPlugins', () => {
  it('takes the types and errors of the first process that is ready, and logs each fault once', async () => {
    const { plugins, logged } = loaded(['a', 'b']);
    plugins.onReady([{ name: 'x', version: '1' }], [{ file: 'b', error: 'broken' }]);
    plugins.onReady([], [{ file: 'b', error: 'broken' }]);
    await plugins.decided;
    expect(plugins.types).toEqual([{ name: 'x', version: '1' }]);
    expect(plugins.errors).toEqual([{ file: 'b', error: 'broken' }]);
    expect(logged).toEqual(['b']);
  });

  it('leaves out a file whose loading ends the first process, and starts again at once', () => {
    const { plugins } = loaded(['a', 'b']);
    expect(plugins.onStartFailure('a', 'code 1')).toBe(0);
    expect(plugins.files).toEqual(['b']);
    expect(plugins.errors).toEqual([{ file: 'a', error: 'its loading ended the process: code 1' }]);
  });

  it('gives up with no types when the first process never gets as far as a file', async () => {
    const { plugins } = loaded(['a', 'b']);
    const waits = [1, 2, 3, 4, 5].map(() => plugins.onStartFailure(undefined, 'code 1'));
    expect(waits).toEqual([1, 2, 3, 4, null]);
    await plugins.decided;
    expect(plugins.errors.map(({ file }) => file)).toEqual(['a', 'b']);
  });

  it('keeps the types and tries ever more slowly when a later process does not start', () => {
    const { plugins } = loaded(['a']);
    plugins.onReady([{ name: 'x', version: '1' }], []);
    expect([1, 2, 3].map(() => plugins.onStartFailure('a', 'code 1'))).toEqual([0, 1, 2]);
    expect(plugins.files).toEqual(['a']);
    plugins.onReady([{ name: 'x', version: '1' }], []);
    expect(plugins.onStartFailure('a', 'code 1')).toBe(0);
  });
});
