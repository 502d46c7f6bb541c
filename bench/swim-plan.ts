/** What the members of `bench swim` do, ours and the peer's alike. */
export interface SwimPlan {
  members: number;
  /** Members killed, one after the other. */
  kills: number;
  everyMs: number;
  /** Of the choice of whom to kill. */
  seed: number;
}

export interface SwimResult {
  /** For each kill: until the last of those that live had found out. */
  knownToAllMs: number[];
  /** Members that live and were found dead by another one. */
  falseDeaths: number;
}
