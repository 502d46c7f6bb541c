/** One row of figures: clusters of that size, with that loss and those pauses, in which members crash and come back. */
import type { SwimConfig } from '../../core/swim/swim-config.ts';
import type { SwimEvent } from '../../core/swim/swim-ports.ts';
import type { SimMember } from './sim-member.ts';
import { SwimCluster } from './swim-cluster.ts';
import type { SwimNetwork } from './swim-network.ts';

export interface Setting {
  size: number;
  /** Of datagrams, and of the packets of connections. */
  loss: number;
  /** Whether a quarter of the members is paused for 0.2 to 2 s, again and again, in bursts. */
  pauses: boolean;
  /** At least so much is simulated, in runs of `RUN_SECONDS` with seeds 1, 2, 3 … */
  memberHours: number;
  config?: Partial<SwimConfig>;
}

export interface FigureRow extends Omit<Setting, 'config'> {
  /** Seconds from a crash until a member holds it for failed, over all crashes and members, the paused ones too. */
  detectionP50: number;
  detectionP99: number;
  /** The same, of those that are never paused. */
  steadyP50: number;
  steadyP99: number;
  /** From the first member that holds it for failed to the last. */
  convergenceP50: number;
  convergenceP99: number;
  /** From the first start until everybody knows everybody, at worst. */
  joinSeconds: number;
  crashes: number;
  /** Of crash and member: it did not learn of it before the crashed one was back. */
  missed: number;
  /** Sent by a member in a second, everything around the payload included. */
  datagramsPerSecond: number;
  bytesPerSecond: number;
  streamBytesPerSecond: number;
  datagramBytesMax: number;
  /** Live members held for failed by others: those that were never paused, and those that were. */
  falseFailures: number;
  falseFailuresPaused: number;
}

const RUN_SECONDS = 60;
const HUBS = 3;
const PAUSED_SHARE = 0.25;
const BURST_SECONDS = 10;
const BURST_EVERY_SECONDS = 20;
const CRASH_EVERY_SECONDS = 6;
const DOWN_SECONDS = 14;
const JOIN_SECONDS_MAX = 120;

interface Crash {
  atUs: number;
  knownAtUs: Map<string, number>;
}

export function measure({ config, ...setting }: Setting): FigureRow {
  const { size, loss, pauses } = setting;
  const runHours = (size * RUN_SECONDS) / 3_600;
  const runs: RunResult[] = [];
  for (let seed = 1; (seed - 1) * runHours < setting.memberHours; seed++) {
    runs.push(new Run(size, loss, seed, config).go(pauses));
  }
  const all = runs.flatMap(({ detections }) => detections.map(([, us]) => us));
  const steady = runs.flatMap(({ detections, pausing }) =>
    detections.filter(([observer]) => !pausing.has(observer)).map(([, us]) => us),
  );
  const spreads = runs.flatMap((run) => run.spreads);
  const sum = (of: (run: RunResult) => number): number => runs.reduce((total, run) => total + of(run), 0);
  const perMember = (of: (run: RunResult) => number): number => sum(of) / size / RUN_SECONDS / runs.length;
  return {
    ...setting,
    memberHours: runs.length * runHours,
    detectionP50: percentile(all, 0.5),
    detectionP99: percentile(all, 0.99),
    steadyP50: percentile(steady, 0.5),
    steadyP99: percentile(steady, 0.99),
    convergenceP50: percentile(spreads, 0.5),
    convergenceP99: percentile(spreads, 0.99),
    joinSeconds: Math.max(...runs.map((run) => run.joinSeconds)),
    crashes: sum(({ spreads: { length } }) => length),
    missed: sum(({ missed }) => missed),
    datagramsPerSecond: perMember(({ sent }) => sent.datagrams),
    bytesPerSecond: perMember(({ sent }) => sent.datagramBytes),
    streamBytesPerSecond: perMember(({ sent }) => sent.streamBytes),
    datagramBytesMax: Math.max(...runs.map((run) => run.datagramBytesMax)),
    falseFailures: sum((run) => run.wronglyFailed.filter((id) => !run.pausing.has(id)).length),
    falseFailuresPaused: sum((run) => run.wronglyFailed.filter((id) => run.pausing.has(id)).length),
  };
}

/** What is kept of a run; its cluster is not. */
interface RunResult {
  joinSeconds: number;
  /** Who learned of a crash, and after how many microseconds. */
  detections: [string, number][];
  spreads: number[];
  missed: number;
  pausing: ReadonlySet<string>;
  /** Each once, however many members were wrong. */
  wronglyFailed: string[];
  sent: SwimNetwork['sent'];
  datagramBytesMax: number;
}

class Run {
  readonly cluster: SwimCluster;
  readonly crashes: Crash[] = [];
  /** By id and incarnation: each once, however many members were wrong. */
  readonly #wrong = new Map<string, string>();
  pausing: ReadonlySet<string> = new Set();
  missed = 0;
  readonly #down = new Map<string, Crash>();

  constructor(size: number, loss: number, seed: number, config?: Partial<SwimConfig>) {
    const faults = { loss, duplicates: 0 };
    const watch = {
      event: (member: SimMember, event: SwimEvent) => this.#event(member, event),
      told: () => undefined,
      stepped: () => undefined,
    };
    const options = { seed, size, hubs: Math.min(HUBS, size), faults, watch };
    this.cluster = new SwimCluster({ ...options, ...(config === undefined ? {} : { config }) });
  }

  go(pauses: boolean): RunResult {
    const { cluster } = this;
    cluster.startAll(cluster.members.length / 100);
    do cluster.run(0.25);
    while (!cluster.isComplete && cluster.seconds < JOIN_SECONDS_MAX);
    const joinSeconds = cluster.seconds;
    if (pauses) this.#pauseSome();
    this.#crashAgainAndAgain();
    Object.assign(cluster.network.sent, { datagrams: 0, datagramBytes: 0, streamMessages: 0, streamBytes: 0 });
    cluster.run(RUN_SECONDS);
    const { pausing, missed } = this;
    const { sent, datagramBytesMax } = cluster.network;
    const wronglyFailed = [...this.#wrong.values()];
    return {
      ...{ joinSeconds, missed, pausing, wronglyFailed, sent, datagramBytesMax },
      detections: this.crashes.flatMap(({ atUs, knownAtUs }) =>
        [...knownAtUs].map(([observer, us]): [string, number] => [observer, us - atUs]),
      ),
      spreads: this.crashes.map(({ knownAtUs }) => Math.max(...knownAtUs.values()) - Math.min(...knownAtUs.values())),
    };
  }

  #pauseSome(): void {
    const { members, random, queue } = this.cluster;
    const pausing = members.filter(({ isHub }) => !isHub).filter(() => random.chance(PAUSED_SHARE));
    const burst = (): void => {
      for (const member of pausing) this.#pauseUntil(member, queue.nowUs + BURST_SECONDS * 1e6);
      queue.after(BURST_EVERY_SECONDS * 1e6, burst);
    };
    burst();
    this.pausing = new Set(pausing.map(({ id }) => id));
  }

  #pauseUntil(member: SimMember, endUs: number): void {
    const { random, queue } = this.cluster;
    const runUs = random.integer(50_000, 2_000_000);
    queue.after(runUs, () => {
      if (queue.nowUs > endUs) return;
      const pauseUs = random.integer(200_000, 2_000_000);
      member.pause(pauseUs);
      queue.after(pauseUs, () => this.#pauseUntil(member, endUs));
    });
  }

  #crashAgainAndAgain(): void {
    const { members, random, queue } = this.cluster;
    const steady = members.filter(({ id }) => !this.pausing.has(id));
    const crash = (): void => {
      queue.after(CRASH_EVERY_SECONDS * 1e6, crash);
      const member = random.pick(steady.filter(({ isUp }) => isUp));
      const one = { atUs: queue.nowUs, knownAtUs: new Map<string, number>() };
      this.#down.set(member.id, one);
      member.crash();
      queue.after(DOWN_SECONDS * 1e6, () => this.#restart(member, one));
    };
    queue.after(1e6, crash);
  }

  #restart(member: SimMember, crash: Crash): void {
    this.crashes.push(crash);
    this.#down.delete(member.id);
    for (const observer of this.cluster.members) {
      if (observer.isUp && !observer.isPaused && observer.swim.isLiving(member.id)) this.missed++;
    }
    member.start();
  }

  #event(observer: SimMember, event: SwimEvent): void {
    if (event.kind !== 'fail') return;
    const { id, incarnation } = event.member;
    const crash = this.#down.get(id);
    if (crash === undefined) this.#wrong.set(`${id} ${incarnation}`, id);
    else if (!crash.knownAtUs.has(observer.id)) crash.knownAtUs.set(observer.id, this.cluster.queue.nowUs);
  }
}

/** In seconds, of microseconds; NaN for none. */
function percentile(valuesUs: readonly number[], share: number): number {
  const sorted = valuesUs.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return (value ?? NaN) / 1e6;
}
