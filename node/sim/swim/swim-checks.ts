/** Watches every message and event of a seed. */
import type { GossipMessage, MemberView, SwimEvent } from '../../core/swim/swim-ports.ts';
import { STATUS_NAMES } from '../../core/swim/claim.ts';
import { DATAGRAM_BYTES_MAX } from '../../core/tlv/datagram.ts';
import { type Counters } from '../counters.ts';
import type { MemberWatch, SimMember } from './sim-member.ts';
import type { SwimCluster } from './swim-cluster.ts';
import { demand } from '../violation.ts';

/** Of undisturbed running, after which nobody has a reason to doubt a member. */
const SETTLED_US = 8_000_000;

interface Told {
  life: number;
  incarnation: number;
  version: number;
}

export class SwimChecks implements MemberWatch {
  readonly #counters: Counters;
  readonly #note: (line: string) => void;
  #cluster: SwimCluster | undefined;
  /** From the beginning. */
  #isLossless = false;
  readonly #told = new Map<string, Told>();
  /** By observer, its life, and subject. */
  readonly #held = new Map<string, Pick<MemberView, 'incarnation' | 'status'>>();
  /** When two members could not reach each other for the last time, by groups. */
  #cuts: { groupOf: (id: string) => number; untilUs: number }[] = [];
  /** Datagrams of somebody did not come through until then. */
  blockedUntilUs = 0;

  constructor(counters: Counters, note: (line: string) => void) {
    this.#counters = counters;
    this.#note = note;
  }

  watch(cluster: SwimCluster): void {
    this.#cluster = cluster;
    this.#isLossless = cluster.network.faults.loss === 0;
  }

  /** Its disk is empty: nothing holds it to what it said. */
  forget(id: string): void {
    this.#told.delete(id);
  }

  cut(groupOf: (id: string) => number): void {
    this.#cuts.push({ groupOf, untilUs: Infinity });
  }

  healed(): void {
    const nowUs = this.#nowUs;
    this.#cuts = this.#cuts.filter(({ untilUs }) => untilUs > nowUs - SETTLED_US);
    for (const cut of this.#cuts) {
      if (cut.untilUs === Infinity) this.#counters.add('partition healed');
      cut.untilUs = Math.min(cut.untilUs, nowUs);
    }
  }

  event(observer: SimMember, event: SwimEvent, isOwn: boolean): void {
    this.#counters.add(event.kind);
    if (!('member' in event)) {
      this.#note(`${observer.id} ${event.kind}`);
      return;
    }
    const { id, incarnation, status } = event.member;
    this.#note(`${observer.id} ${event.kind} ${id} ${incarnation} ${status}`);
    this.#checkOrder(observer, event.member);
    demand(event.kind !== 'fail' || isOwn, 'hearsay', () => `${observer.id} was told that ${id} is failed`);
    const subject = this.#cluster?.get(id);
    if (event.kind === 'fail' && subject?.isPaused === true) this.#counters.add('failed while paused');
    if (subject === undefined || !this.#isSettled(observer, subject)) return;
    const what = (): string => `${observer.id} holds ${id} at ${incarnation} for ${status}`;
    demand(event.kind !== 'fail', 'healthyFailed', what);
    if (isOwn && this.#isLossless) demand(event.kind !== 'suspect', 'healthyAccused', what);
  }

  told(member: SimMember, message: GossipMessage): void {
    for (const { id, incarnation, details } of message.body.claims ?? []) {
      if (id !== member.id) continue;
      const version = details?.version ?? 0;
      const before = this.#told.get(id) ?? { life: 0, incarnation: 0, version: 0 };
      // A claim of its own that others made comes back as a charge: it is older, and no word of its own.
      if (before.life === member.life && incarnation < member.swim.incarnation) continue;
      const isNewLife = before.life < member.life;
      const rises = isNewLife ? incarnation > before.incarnation : incarnation >= before.incarnation;
      const isNewer = version === 0 || (isNewLife ? version > before.version : version >= before.version);
      const what = (): string => `${id} says ${incarnation} after ${before.incarnation}, version ${version}`;
      demand(rises && isNewer, 'incarnationBack', what);
      this.#told.set(id, { life: member.life, incarnation, version: Math.max(version, before.version) });
    }
  }

  stepped(): void {
    const bytes = this.#cluster?.network.datagramBytesMax ?? 0;
    demand(bytes <= DATAGRAM_BYTES_MAX, 'datagramSize', () => `one has ${bytes}`);
  }

  get #nowUs(): number {
    return this.#cluster?.queue.nowUs ?? 0;
  }

  #checkOrder(observer: SimMember, { id, incarnation, status }: MemberView): void {
    const key = `${observer.id} ${observer.life} ${id}`;
    const before = this.#held.get(key);
    this.#held.set(key, { incarnation, status });
    if (before === undefined) return;
    if (before.status === 'failed' && status === 'alive') this.#counters.add('came back from the dead');
    const order =
      incarnation - before.incarnation || STATUS_NAMES.indexOf(status) - STATUS_NAMES.indexOf(before.status);
    const what = (): string =>
      `${observer.id} held ${id} for ${before.status} at ${before.incarnation}, now for ${status} at ${incarnation}`;
    demand(order >= 0, 'standingBack', what);
  }

  #isSettled(observer: SimMember, subject: SimMember): boolean {
    const nowUs = this.#nowUs;
    if (!subject.isUp || subject.isPaused || nowUs - subject.runningSinceUs < SETTLED_US) return false;
    const recent = this.#cuts.filter(({ untilUs }) => nowUs - untilUs < SETTLED_US);
    // Without datagrams all depends on the hubs, and on good connections to them.
    const isGood = recent.length === 0 && this.#hubsRun() && this.#isLossless;
    if (nowUs - this.blockedUntilUs < SETTLED_US && !isGood) return false;
    return !recent.some(({ groupOf }) => groupOf(observer.id) !== groupOf(subject.id));
  }

  #hubsRun(): boolean {
    const hubs = this.#cluster?.members.filter(({ isHub }) => isHub) ?? [];
    return hubs.every((hub) => hub.isUp && !hub.isPaused && this.#nowUs - hub.runningSinceUs > SETTLED_US);
  }
}
