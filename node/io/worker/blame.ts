/**
 * Who pays for the death of a plugin process. Only an attempt that is known to be guilty uses up a retry;
 * the others are 'lost' and dispatched again. When the guilty one can't be told from the bystanders, all are
 * lost and their types are suspects: the pool runs those one by one in a process of their own, where the next
 * death has exactly one candidate. So an evil attempt is charged after one round, and an innocent one never.
 */
export type Death =
  /** The process ended by itself, or somebody outside killed it. */
  | { cause: 'exit'; how: string }
  | { cause: 'memory'; residentMb: number; limitMb: number }
  /**
   * Killed because attempts ran over their time-out and did not stop. `blockedBy`: the attempt that holds the main
   * thread; null when the thread hangs and nobody knows in what; undefined when it does not hang.
   */
  | { cause: 'overrun'; timedOut: ReadonlySet<number>; blockedBy: number | null | undefined };

export interface Verdict {
  /** Attempt id -> the error it is reported with. */
  guilty: ReadonlyMap<number, string>;
  /** True when the types that were running should run alone for a while. */
  suspect: boolean;
}

const OVERRUN = 'ran over its time-out and did not stop when its signal was aborted; its process was killed';
const BLOCKED =
  'blocked its plugin process (an endless loop, or work that never yields) until other attempts ran over their time-outs; the process was killed';

export function blame(death: Death, running: readonly number[]): Verdict {
  const alone = running.length === 1 ? running[0] : undefined;
  if (death.cause === 'overrun') return blameOverrun(death, running, alone);
  const error =
    death.cause === 'exit'
      ? `plugin process exited with ${death.how}`
      : `plugin process used ${death.residentMb} MiB of memory; the limit is ${death.limitMb} MiB; it was killed`;
  const guilty = new Map<number, string>(alone === undefined ? [] : [[alone, error]]);
  return { guilty, suspect: running.length > 0 };
}

function blameOverrun(
  death: Extract<Death, { cause: 'overrun' }>,
  running: readonly number[],
  alone: number | undefined,
): Verdict {
  const { timedOut, blockedBy } = death;
  if (alone !== undefined) return { guilty: new Map([[alone, OVERRUN]]), suspect: false };
  if (blockedBy === null) return { guilty: new Map(), suspect: true };
  if (blockedBy !== undefined && running.includes(blockedBy)) {
    return { guilty: new Map([[blockedBy, timedOut.has(blockedBy) ? OVERRUN : BLOCKED]]), suspect: false };
  }
  return { guilty: new Map(running.filter((id) => timedOut.has(id)).map((id) => [id, OVERRUN])), suspect: false };
}
