/** One seed: a small cluster whose members crash, stand still, are cut off, lied to and leave; with every check on. */
import { Random } from '../../../base/random.ts';
import { Counters } from '../counters.ts';
import { Envelope } from './envelope.ts';
import type { SimMember } from './sim-member.ts';
import { SwimChecks } from './swim-checks.ts';
import { SwimCluster } from './swim-cluster.ts';
import { demand, type SwimCheck, SwimViolation } from './swim-violation.ts';

const FAULTS = ['crash', 'pause', 'partition', 'leave', 'update', 'replay', 'forge', 'block'] as const;
type Fault = (typeof FAULTS)[number];

const FAULTY_SECONDS = 60;
const GAP_US_MAX = 4_000_000;
/** After healing, that long until everybody holds the living for alive. */
const ONE_VIEW_SECONDS = 10;
/** And after that, what is gone for gone, and nobody has changed its mind. */
const CALM_SECONDS = 10;
const WARM_UP_SECONDS = 12;
const LABEL_CHARS_MAX = 90;

export interface SwimSeedReport {
  seed: number;
  traceHash: number;
  virtualSeconds: number;
  memberSeconds: number;
  counts: ReadonlyMap<string, number>;
  failure: { check: SwimCheck; detail: string } | undefined;
}

export function runSwimSeed(seed: number, print?: (line: string) => void): SwimSeedReport {
  const course = new Course(seed, print);
  let failure: SwimSeedReport['failure'];
  try {
    course.run();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const check = error instanceof SwimViolation ? error.check : 'assertion';
    failure = { check, detail: error instanceof SwimViolation ? error.message : (error.stack ?? error.message) };
    print?.(`${course.cluster.seconds.toFixed(3)} FAILED ${check}: ${failure.detail}`);
  }
  const virtualSeconds = course.cluster.seconds;
  const memberSeconds = virtualSeconds * course.cluster.members.length;
  return { seed, traceHash: course.hash, virtualSeconds, memberSeconds, counts: course.counters.counts, failure };
}

class Course {
  readonly counters = new Counters();
  readonly cluster: SwimCluster;
  hash = 0x811c9dc5;
  readonly #random: Random;
  readonly #checks: SwimChecks;
  readonly #envelope: Envelope;
  readonly #faults: readonly Fault[];
  readonly #print: ((line: string) => void) | undefined;
  #isPartitioned = false;
  #isOver = false;

  constructor(seed: number, print?: (line: string) => void) {
    this.#random = Random.stream(seed, 'faults');
    this.#print = print;
    this.#checks = new SwimChecks(this.counters, (line) => this.#note(line));
    this.#envelope = new Envelope(Random.stream(seed, 'envelope'));
    const hubs = this.#random.pick([1, 3, 3, 5]);
    const size = hubs + this.#random.integer(1, this.#random.pick([4, 12, 20]));
    const loss = this.#random.pick([0, 0, 0.05, 0.2]);
    const duplicates = this.#random.pick([0, 0.05]);
    this.#faults = FAULTS.filter(() => this.#random.chance(0.6));
    print?.(JSON.stringify({ size, hubs, loss, duplicates, faults: this.#faults }));
    const faults = { loss, duplicates };
    this.cluster = new SwimCluster({ seed, size, hubs, faults, watch: this.#checks, envelope: this.#envelope });
    this.#checks.watch(this.cluster);
  }

  run(): void {
    const { cluster } = this;
    cluster.startAll(2);
    cluster.run(WARM_UP_SECONDS);
    this.#next();
    cluster.run(FAULTY_SECONDS);
    this.#healAll();
    cluster.run(ONE_VIEW_SECONDS);
    this.#demandOneView('living');
    cluster.run(CALM_SECONDS);
    this.#demandOneView('all');
  }

  #demandOneView(of: 'living' | 'all'): void {
    const disagreement = this.cluster.disagreement(of);
    demand(disagreement === undefined, 'oneView', () => disagreement ?? '');
  }

  #next(): void {
    this.cluster.queue.after(this.#random.integer(100_000, GAP_US_MAX), () => {
      if (this.#isOver || this.#faults.length === 0) return;
      this.#strike(this.#random.pick(this.#faults));
      this.#next();
    });
  }

  #strike(fault: Fault): void {
    this.counters.add(`fault: ${fault}`);
    const up = this.cluster.members.filter(({ isUp, isPaused }) => isUp && !isPaused);
    if (up.length < 2) return;
    const member = this.#random.pick(up);
    this.#note(`fault: ${fault}, perhaps of ${member.id}`);
    switch (fault) {
      case 'crash':
        member.crash();
        this.#restartLater(member);
        return;
      case 'leave':
        member.leave();
        this.#restartLater(member);
        return;
      case 'pause':
        member.pause(this.#random.integer(200_000, this.#random.pick([2_000_000, 2_000_000, 10_000_000])));
        return;
      case 'partition':
        this.#partition();
        return;
      case 'update':
        member.describe(this.#labels());
        return;
      case 'replay':
      case 'forge':
        this.#inject(fault);
        return;
      case 'block':
        this.#block(up);
    }
  }

  #restartLater(member: SimMember): void {
    this.cluster.queue.after(this.#random.integer(1_500_000, 20_000_000), () => {
      if (!this.#isOver && !member.isUp) member.start();
    });
  }

  #partition(): void {
    if (this.#isPartitioned) return;
    this.#isPartitioned = true;
    const aside = new Set(this.cluster.members.filter(() => this.#random.chance(0.4)).map(({ id }) => id));
    const groupOf = (id: string): number => Number(aside.has(id));
    this.cluster.network.partition(groupOf);
    this.#checks.cut(groupOf);
    this.cluster.queue.after(this.#random.integer(1_000_000, 30_000_000), () => {
      if (!this.#isOver) this.#heal();
    });
  }

  #heal(): void {
    this.#isPartitioned = false;
    this.cluster.network.heal();
    this.#checks.healed();
  }

  #block(up: readonly SimMember[]): void {
    const blocked = this.#random.chance(0.3) ? up : up.filter(() => this.#random.chance(0.2));
    this.cluster.network.blockDatagrams(blocked.map(({ id }) => id));
    this.#checks.blockedUntilUs = Infinity;
    this.cluster.queue.after(this.#random.integer(2_000_000, 15_000_000), () => {
      this.cluster.network.unblockDatagrams();
      this.#checks.blockedUntilUs = this.cluster.queue.nowUs;
    });
  }

  /** Datagrams of others again, or with a byte changed. */
  #inject(fault: 'replay' | 'forge'): void {
    for (let count = 0; count < 10; count++) {
      const seen = this.#envelope.someSealed(this.#random);
      if (seen === undefined) return;
      const bytes = fault === 'replay' ? seen.slice() : this.#envelope.forge(seen, this.#random);
      const [from, to] = [this.#random.pick(this.cluster.members), this.#random.pick(this.cluster.members)];
      this.cluster.network.inject(bytes, from.address, to.address);
    }
  }

  #labels(): string[] {
    return Array.from({ length: this.#random.integer(0, 4) }, (_, index) => {
      return `label${index}=${'x'.repeat(this.#random.integer(0, LABEL_CHARS_MAX))}`;
    });
  }

  /** Nothing more happens; of those that are down the hubs and about half of the others come back. */
  #healAll(): void {
    this.#isOver = true;
    this.#note('all is healed');
    this.#heal();
    this.cluster.network.faults = { loss: 0, duplicates: 0 };
    this.cluster.network.unblockDatagrams();
    this.#checks.blockedUntilUs = Math.min(this.#checks.blockedUntilUs, this.cluster.queue.nowUs);
    for (const member of this.cluster.members) {
      if (!member.isUp && (member.isHub || this.#random.chance(0.5))) member.start();
      member.endPause();
    }
  }

  #note(line: string): void {
    this.#mix(line);
    this.#print?.(`${this.cluster.seconds.toFixed(3)} ${line}`);
  }

  #mix(text: string): void {
    const stamped = `${this.cluster.queue.nowUs} ${text}`;
    for (let at = 0; at < stamped.length; at++) {
      this.hash = Math.imul(this.hash ^ stamped.charCodeAt(at), 0x01000193) >>> 0;
    }
  }
}
