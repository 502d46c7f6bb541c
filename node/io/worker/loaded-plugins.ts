import type { Logger } from '../../plugins/sdk.ts';
import type { LoadError, PluginType } from './plugin-protocol.ts';

/** Before the first process is ready; then the worker starts without these plugins and says so. */
const FIRST_START_FAILURES_MAX = 5;

/**
 * Which plugin files the pool's processes load and what came of it. Decided by the first process that gets ready:
 * the types are then registered in the cluster and stay, whatever happens to the files later.
 */
export class LoadedPlugins {
  readonly #files: Set<string>;
  readonly #log: Logger;
  readonly #errors: LoadError[] = [];
  readonly #decided = Promise.withResolvers<undefined>();
  #types: readonly PluginType[] | undefined;
  /** In a row. */
  #startFailures = 0;

  constructor(files: readonly string[], log: Logger) {
    this.#files = new Set(files);
    this.#log = log;
  }

  /** Resolves when `types` and `errors` are final. */
  get decided(): Promise<undefined> {
    return this.#decided.promise;
  }

  get files(): readonly string[] {
    return [...this.#files];
  }

  get types(): readonly PluginType[] {
    return this.#types ?? [];
  }

  get errors(): readonly LoadError[] {
    return this.#errors;
  }

  onReady(types: readonly PluginType[], errors: readonly LoadError[]): void {
    this.#startFailures = 0;
    for (const { file, error } of errors) {
      // Every process meets the same fault; one line is enough.
      if (!this.#errors.some((known) => known.file === file)) this.#refuse(file, error);
    }
    this.#decide(types);
  }

  /**
   * A process died before it was ready, while it loaded `file`. Until the types are decided that file is left out;
   * later a start is only tried again. Returns how many failures in a row the next start has to wait for; null to give up.
   */
  onStartFailure(file: string | undefined, how: string): number | null {
    if (this.#types !== undefined) return this.#startFailures++;
    if (file !== undefined) {
      this.#files.delete(file);
      this.#refuse(file, `its loading ended the process: ${how}`);
      return 0;
    }
    this.#startFailures += 1;
    if (this.#startFailures < FIRST_START_FAILURES_MAX) return this.#startFailures;
    for (const each of this.#files) this.#refuse(each, `no plugin process could be started: ${how}`);
    this.#decide([]);
    return null;
  }

  #refuse(file: string, error: string): void {
    this.#log.error('plugin not loaded', { plugin_file: file, error });
    if (this.#types === undefined) this.#errors.push({ file, error });
  }

  #decide(types: readonly PluginType[]): void {
    this.#types ??= types;
    this.#decided.resolve(undefined);
  }
}
