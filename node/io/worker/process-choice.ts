/** What the choice needs to know of a process; see `PluginProcess`. */
export interface Choosable {
  readonly state: 'starting' | 'ready' | 'retiring' | 'stopping';
  readonly doomed: boolean;
  readonly quarantine: boolean;
  readonly running: ReadonlySet<number>;
  readonly blockedBy: number | null | undefined;
}

/** The shared process with room that runs the fewest attempts; one whose main thread hangs comes last. */
export function leastLoaded<T extends Choosable>(processes: Iterable<T>, attemptsMax: number): T | undefined {
  let best: T | undefined;
  for (const process of processes) {
    if (process.quarantine || process.state !== 'ready' || process.doomed) continue;
    if (process.running.size < attemptsMax && (best === undefined || loadOf(process) < loadOf(best))) best = process;
  }
  return best;
}

/** A quarantine process that runs nothing; 'starting' when one is on its way, 'none' when another one may be started. */
export function idleQuarantine<T extends Choosable>(
  processes: Iterable<T>,
  max: number,
): T | 'starting' | 'full' | 'none' {
  let count = 0;
  for (const process of processes) {
    if (!process.quarantine || process.state === 'stopping') continue;
    if (process.state === 'starting') return 'starting';
    if (process.state === 'ready' && !process.doomed && process.running.size === 0) return process;
    count += 1;
  }
  return count < max ? 'none' : 'full';
}

function loadOf({ blockedBy, running }: Choosable): number {
  return blockedBy === undefined ? running.size : Number.MAX_SAFE_INTEGER;
}
