/** One seed: a small cluster whose members crash, stand still, are cut off, lied to and leave; with every check on. */
import { Random } from '../../../base/random.ts';
import { Counters } from '../counters.ts';
import { Trace } from '../trace.ts';
import type { Outcome, Simulated } from '../outcome.ts';
import { Envelope } from './envelope.ts';
import type { SimMember } from './sim-member.ts';
import { SwimChecks } from './swim-checks.ts';
import { SwimCluster } from './swim-cluster.ts';
import { demand, Violation } from '../violation.ts';

const FAULTS = ['crash', 'amnesia', 'pause', 'partition', 'leave', 'update', 'replay', 'forge', 'block'] as const;
type Fault = (typeof FAULTS)[number];

const FAULTY_SECONDS = 60;
const GAP_US_MAX = 4_000_000;
/** After healing, that long until everybody holds the living for living and what is gone for gone. */
const ONE_VIEW_SECONDS = 10;
/** And after that, nobody has changed its mind. */
const CALM_SECONDS = 10;
const WARM_UP_SECONDS = 12;
const LABEL_CHARS_MAX = 90;

/** Of the many that a course may meet. */
const RARE_STATES = [
  ...['join', 'update', 'suspect', 'refute', 'fail', 'leave', 'accused', 'stoodStill'],
  ...['datagramsBlocked', 'datagramsFlow', 'came back from the dead', 'failed while paused', 'partition healed'],
];

export const SWIM: Simulated = { runSeed: runSwimSeed, rareStates: RARE_STATES };

function runSwimSeed(seed: number, print?: (line: string) => void): Outcome {
  const course = new Course(seed, print);
  let failure: Outcome['failure'];
  try {
    course.run();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const check = error instanceof Violation ? error.check : 'assertion';
    failure = { check, detail: error instanceof Violation ? error.message : (error.stack ?? error.message) };
    print?.(`FAILED ${check}: ${failure.detail}`);
  }
  const virtualSeconds = course.cluster.seconds;
  const nodeSeconds = virtualSeconds * course.cluster.members.length;
  const traceHash = course.hash();
  return { seed, traceHash, virtualSeconds, nodeSeconds, counts: course.counters.counts, failure };
}

class Course {
  readonly counters = new Counters();
  readonly cluster: SwimCluster;
  readonly #random: Random;
  readonly #checks: SwimChecks;
  readonly #envelope: Envelope;
  readonly #faults: readonly Fault[];
  readonly #trace: Trace;
  #isPartitioned = false;
  #isOver = false;

  constructor(seed: number, print?: (line: string) => void) {
    this.#random = Random.stream(seed, 'faults');
    this.#checks = new SwimChecks(this.counters, (line) => this.#trace.note('', line));
    this.#envelope = new Envelope(Random.stream(seed, 'envelope'));
    const hubs = this.#random.pick([1, 3, 3, 5]);
    const size = hubs + this.#random.integer(1, this.#random.pick([4, 12, 20]));
    const loss = this.#random.pick([0, 0, 0.05, 0.2]);
    const duplicates = this.#random.pick([0, 0.05]);
    this.#faults = FAULTS.filter(() => this.#random.chance(0.6));
    print?.(JSON.stringify({ size, hubs, loss, duplicates, faults: this.#faults }));
    const faults = { loss, duplicates };
    this.cluster = new SwimCluster({ seed, size, hubs, faults, watch: this.#checks, envelope: this.#envelope });
    this.#trace = new Trace(this.cluster.queue, print);
    this.#checks.watch(this.cluster);
  }

  hash(): string {
    const { datagrams, datagramBytes } = this.cluster.network.sent;
    this.#trace.mix(datagrams, datagramBytes);
    return this.#trace.hash;
  }

  run(): void {
    const { cluster } = this;
    cluster.startAll(2);
    cluster.run(WARM_UP_SECONDS);
    this.#next();
    cluster.run(FAULTY_SECONDS);
    this.#healAll();
    cluster.run(ONE_VIEW_SECONDS);
    // While datagrams get lost somebody is always suspected for a moment.
    this.#demandOneView(cluster.network.faults.loss === 0);
    cluster.network.faults = { loss: 0, duplicates: 0 };
    cluster.run(CALM_SECONDS);
    this.#demandOneView(true);
  }

  #demandOneView(isCalm: boolean): void {
    const disagreement = this.cluster.disagreement(isCalm);
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
    this.#trace.note('', `fault: ${fault}, perhaps of ${member.id}`);
    switch (fault) {
      case 'crash':
      case 'amnesia':
        member.crash();
        if (fault === 'amnesia') this.#loseDisk(member);
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

  #loseDisk(member: SimMember): void {
    member.loseDisk();
    this.#checks.forget(member.id);
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

  /** Nothing more happens but loss; of those that are down one hub at least and about half of the others come back. */
  #healAll(): void {
    this.#isOver = true;
    this.#trace.note('', 'all is healed');
    this.#heal();
    this.cluster.network.unblockDatagrams();
    this.#checks.blockedUntilUs = Math.min(this.#checks.blockedUntilUs, this.cluster.queue.nowUs);
    for (const member of this.cluster.members) if (member.isUp && member.isLeaving) member.crash();
    for (const member of this.cluster.members) {
      const isNeeded = !this.cluster.members.some(({ isUp, isHub }) => isUp && isHub);
      if (!member.isUp && (isNeeded || this.#random.chance(0.5))) member.start();
      member.endPause();
    }
  }
}
