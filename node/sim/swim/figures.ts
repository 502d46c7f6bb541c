/** One row of figures: a cluster of that size, with that loss and those pauses, in which members crash and come back. */
import type { SwimConfig } from '../../core/swim/swim-config.ts';
import type { SwimEvent } from '../../core/swim/swim-ports.ts';
import type { SimMember } from './sim-member.ts';
import { SwimCluster } from './swim-cluster.ts';

export interface Setting {
  size: number;
  loss: number;
  /** Whether a quarter of the members is paused for 0.2 to 2 s, again and again, in bursts. */
  pauses: boolean;
  /** Of virtual time, once all have joined. */
  seconds: number;
  config?: Partial<SwimConfig>;
}

export interface FigureRow extends Omit<Setting, 'config'> {
  /** From a crash until a member holds it for failed, over all crashes and members. */
  detectionP50: number;
  detectionP99: number;
  detectionMax: number;
  /** The same, by those that are never paused. */
  steadyP50: number;
  steadyP99: number;
  /** From the first member that holds it for failed to the last. */
  convergenceP50: number;
  convergenceP99: number;
  /** From the first start until everybody knows everybody. */
  joinSeconds: number;
  crashes: number;
  /** Of crash and member: it did not learn of it in time. */
  missed: number;
  datagramsPerSecond: number;
  bytesPerSecond: number;
  streamBytesPerSecond: number;
  datagramBytesMax: number;
  memberHours: number;
  /** Live members held for failed by others: those that were never paused, and those that were. */
  falseFailures: number;
  falseFailuresPaused: number;
}

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

export function measure(setting: Setting, seed: number): FigureRow {
  const { size, loss, pauses, seconds, config } = setting;
  const run = new Run(size, loss, seed, config);
  const joinSeconds = run.join();
  const pausing = pauses ? run.pauseSome() : new Set<string>();
  run.crashAgainAndAgain(pausing);
  const { cluster } = run;
  Object.assign(cluster.network.sent, { datagrams: 0, datagramBytes: 0, streamMessages: 0, streamBytes: 0 });
  cluster.run(seconds);
  const { sent, datagramBytesMax } = cluster.network;
  const perMember = (count: number): number => count / size / seconds;
  const timesBy = (counts: (observer: string) => boolean): number[] =>
    run.crashes.flatMap(({ atUs, knownAtUs }) =>
      [...knownAtUs].filter(([observer]) => counts(observer)).map(([, us]) => us - atUs),
    );
  const detections = timesBy(() => true);
  const steadyDetections = timesBy((observer) => !pausing.has(observer));
  const spreads = run.crashes.map(({ knownAtUs }) => Math.max(...knownAtUs.values()) - Math.min(...knownAtUs.values()));
  return {
    ...{ size, loss, pauses, seconds },
    detectionP50: percentile(detections, 0.5),
    detectionP99: percentile(detections, 0.99),
    detectionMax: percentile(detections, 1),
    steadyP50: percentile(steadyDetections, 0.5),
    steadyP99: percentile(steadyDetections, 0.99),
    convergenceP50: percentile(spreads, 0.5),
    convergenceP99: percentile(spreads, 0.99),
    joinSeconds,
    crashes: run.crashes.length,
    missed: run.missed,
    datagramsPerSecond: perMember(sent.datagrams),
    bytesPerSecond: perMember(sent.datagramBytes),
    streamBytesPerSecond: perMember(sent.streamBytes),
    datagramBytesMax,
    memberHours: (size * seconds) / 3_600,
    falseFailures: [...run.wronglyFailed].filter((incident) => !pausing.has(idOf(incident))).length,
    falseFailuresPaused: [...run.wronglyFailed].filter((incident) => pausing.has(idOf(incident))).length,
  };
}

class Run {
  readonly cluster: SwimCluster;
  readonly crashes: Crash[] = [];
  /** Each once, however many members were wrong: id and incarnation. */
  readonly wronglyFailed = new Set<string>();
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

  join(): number {
    const { cluster } = this;
    cluster.startAll(cluster.members.length / 100);
    do cluster.run(0.25);
    while (!cluster.isComplete && cluster.seconds < JOIN_SECONDS_MAX);
    return cluster.seconds;
  }

  pauseSome(): Set<string> {
    const { members, random, queue } = this.cluster;
    const pausing = members.filter((_, index) => index >= HUBS).filter(() => random.chance(PAUSED_SHARE / 0.97));
    const burst = (): void => {
      for (const member of pausing) this.#pauseUntil(member, queue.nowUs + BURST_SECONDS * 1e6);
      queue.after(BURST_EVERY_SECONDS * 1e6, burst);
    };
    burst();
    return new Set(pausing.map(({ id }) => id));
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

  crashAgainAndAgain(pausing: ReadonlySet<string>): void {
    const { members, random, queue } = this.cluster;
    const steady = members.filter(({ id }) => !pausing.has(id));
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
    if (crash === undefined) this.wronglyFailed.add(`${id} ${incarnation}`);
    else if (!crash.knownAtUs.has(observer.id)) crash.knownAtUs.set(observer.id, this.cluster.queue.nowUs);
  }
}

function idOf(incident: string): string {
  return incident.slice(0, incident.indexOf(' '));
}

/** In seconds, of microseconds; NaN for none. */
function percentile(valuesUs: readonly number[], share: number): number {
  const sorted = valuesUs.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return (value ?? NaN) / 1e6;
}
