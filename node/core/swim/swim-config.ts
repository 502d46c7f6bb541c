/** Times and counts of SWIM. Why these: docs/decisions/0010-swim-defaults.md; all found by `npm run sim -- --swim`. */
export interface SwimConfig {
  /** From one probe to the next; probes overlap. */
  probeMs: number;
  /** A member that has not answered is asked again that often, also through others and over connections. */
  ackMs: number;
  /** A member that has not answered by then, to nobody, is suspected. */
  probeEndMs: number;
  /** Members asked to probe another one. */
  indirectCount: number;
  /** Shortest time-out of a suspicion, up to 100 members; grows with the logarithm of their number. */
  suspicionMs: number;
  /** The longest, as a multiple of the shortest. */
  suspicionFactor: number;
  /** Confirmations that bring it down to the shortest. */
  confirmationsMax: number;
  /** From one round of gossip to the next, and to how many. */
  gossipMs: number;
  gossipFanout: number;
  /** Each claim is told log10(n + 1) times that, and at least so often. */
  retransmitFactor: number;
  retransmitMin: number;
  /** From one exchange of everything to the next, up to 32 members; longer in larger clusters. */
  pushPullMs: number;
  /** After its start a member begins with that. */
  firstPushPullMs: number;
  /** After a link is up, at a time of chance up to that: so both ends seldom begin. */
  pushPullDelayMs: number;
  /** The whole cluster contacts one of the failed members that often. */
  reconnectMs: number;
  /** Least time between two such contacts of one member. */
  reconnectMinMs: number;
  /** Failed members, and those that left, are known that long. */
  forgetFailedMs: number;
  forgetLeftMs: number;
  /** Highest score of the local health: what is expected of others takes up to one more times as long. */
  healthMax: number;
  /** The process was late by more: it stood still. */
  standstillMs: number;
  /** Members known, the living and the gone. */
  membersMax: number;
  /** Probes of others that are under way here. */
  relaysMax: number;
}

const HOUR_MS = 3_600_000;

export const SWIM_DEFAULTS: SwimConfig = {
  probeMs: 200,
  ackMs: 200,
  probeEndMs: 700,
  indirectCount: 3,
  suspicionMs: 1_000,
  suspicionFactor: 2,
  confirmationsMax: 3,
  gossipMs: 100,
  gossipFanout: 3,
  retransmitFactor: 6,
  retransmitMin: 8,
  pushPullMs: 30_000,
  firstPushPullMs: 4_000,
  pushPullDelayMs: 200,
  reconnectMs: 100,
  reconnectMinMs: 1_000,
  forgetFailedMs: 24 * HOUR_MS,
  forgetLeftMs: HOUR_MS,
  healthMax: 8,
  standstillMs: 50,
  membersMax: 10_000,
  relaysMax: 1_000,
};
