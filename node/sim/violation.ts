/** What the simulator checks. Each has a planted bug that it alone is asked to find (mutants.ts). */
export const CHECKS = {
  oneLeader: 'one leader per term',
  oneVote: 'one vote per node and term, over restarts too',
  termBack: 'a node never speaks in an older term than before, over restarts too',
  logMatching: 'entries of equal index and term are the same entry, and so is all before them',
  leaderCompleteness: 'a new leader has every committed entry',
  commitHistory: 'one commit history: what is committed stays, everywhere the same',
  commitOwnTerm: 'a leader commits by count only up to an entry of its own term',
  commitDurable: 'what is committed is flushed on a majority of disks',
  commitBack: 'the commit index of a process never goes back',
  memberSteps: 'the voters change by way of a joint membership only, one change after the other',
  preVote: 'nobody campaigns whom a majority would not elect, or the leader has not asked to',
  checkQuorum: 'a leader that a majority does not answer stops leading',
  stableLeader: 'in calm nobody takes the leadership from whoever has it',
  featureLevel: 'no member is of a release too early for what its cluster is raised to',
  stateHash: 'equal state hash at equal index, live and after a restart',
  replicaContent: 'equal content at equal index',
  acknowledgedApplied: 'what a client is told as done is applied',
  acknowledgedKept: 'nothing acknowledged is lost',
  refusedNotKept: 'what a client is told as refused is not there',
  answeredOnce: 'a request is answered once, and in the end always',
  oneMessagePerKey: 'an idempotency key gives one message',
  outcomeTold: 'a message has exactly the instances its outcome told',
  oneResult: 'one committed result per task',
  oneAttempt: 'a task has one running attempt at a time, with a rising token',
  staleAttempt: 'a result counts exactly while its attempt is the running one',
  drained: 'a drained worker gets nothing more, and has handed back what it runs when its time is over',
  dependencies: 'no task starts before its dependencies are completed, and it sees their results',
  sweptEnded: 'retention forgets nothing that runs, and no message of something that runs',
  catalog: 'a message meets the rules that stand at its place in the log',
  linearizable: 'a read sees everything acknowledged before it began',
  progress: 'once faults are healed, everything comes to its end',
  assertion: 'no assertion of the product fails',
} as const;

/** The same for the seeds of the membership (`swim/`). */
export const SWIM_CHECKS = {
  incarnationBack: 'the incarnation of a member, and the version of its details, never go back, over restarts too',
  standingBack: 'what a member holds of another one never goes back',
  hearsay: 'a member is held for failed only where a suspicion of it has run out',
  healthyFailed: 'nobody fails a member that runs and that it can reach',
  healthyAccused: 'without loss nobody accuses a member that runs and that it can reach',
  oneView: 'once all is healed, everybody soon holds the living for alive and the others for gone',
  datagramSize: 'no datagram is larger than 1,400 bytes',
  forged: 'what was not sealed by a member is dropped',
  replayed: 'a datagram is taken once',
} as const;

export type SwimCheck = keyof typeof SWIM_CHECKS;
export type Check = keyof typeof CHECKS | SwimCheck;

export function isSwimCheck(check: Check): check is SwimCheck {
  return Object.hasOwn(SWIM_CHECKS, check);
}

export class Violation extends Error {
  override readonly name = 'Violation';
  readonly check: Check;

  constructor(check: Check, detail: string) {
    super(`${{ ...CHECKS, ...SWIM_CHECKS }[check]}: ${detail}`);
    this.check = check;
  }
}

let asked: Check | undefined;

/** From now on only this check stops a run: a planted bug is to be found by the check it is planted for. */
export function askOnly(check: Check): void {
  asked = check;
}

export function demand(holds: boolean, check: Check, detail: () => string): void {
  if (!holds && (asked === undefined || asked === check)) throw new Violation(check, detail());
}
