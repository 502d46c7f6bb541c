/** What a simulated seed checks. Each has a planted bug that it alone is asked to find (swim-mutants.ts). */
export const SWIM_CHECKS = {
  incarnationBack: 'the incarnation of a member, and the version of its details, never go back, over restarts too',
  standingBack: 'what a member holds of another one never goes back',
  healthyFailed: 'nobody fails a member that runs and that it can reach',
  healthyAccused: 'without loss nobody accuses a member that runs and that it can reach',
  oneView: 'once all is healed, everybody soon holds the living for alive and the others for gone',
  datagramSize: 'no datagram is larger than 1,400 bytes',
  forged: 'what was not sealed by a member is dropped',
  replayed: 'a datagram is taken once',
  assertion: 'no assertion of the product fails',
} as const;

export type SwimCheck = keyof typeof SWIM_CHECKS;

export class SwimViolation extends Error {
  override readonly name = 'SwimViolation';
  readonly check: SwimCheck;

  constructor(check: SwimCheck, detail: string) {
    super(`${SWIM_CHECKS[check]}: ${detail}`);
    this.check = check;
  }
}

let asked: SwimCheck | undefined;

/** From now on only this check stops a run. */
export function askOnly(check: SwimCheck): void {
  asked = check;
}

export function demand(holds: boolean, check: SwimCheck, detail: () => string): void {
  if (!holds && (asked === undefined || asked === check)) throw new SwimViolation(check, detail());
}
