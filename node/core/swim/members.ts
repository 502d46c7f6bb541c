/**
 * What this member holds of all others.
 *
 * 1. What is held of a member only ever grows in the order of `claim.ts`.
 * 2. Nobody is declared dead on hearsay: FAILED about a member that lives here is one more accusation, which makes the
 *    suspicion here short. It fails here when that runs out, so every member gives it the time to say that it is alive. That holds for gossip
 *    and for push-pull alike: a member that comes back from a partition, where it lost all others, kills nobody.
 * 3. The living are those that are alive or suspected and have told of themselves: they are probed and gossiped to.
 */
import type { Random } from '../../../base/random.ts';
import type { MemberClaim } from '../tlv/messages.ts';
import { compareStanding, isLiving, merge, STATUS, STATUS_NAMES, type Standing } from './claim.ts';
import { ProbeOrder } from './probe-order.ts';
import { Suspicion } from './suspicion.ts';
import type { SwimConfig } from './swim-config.ts';
import type { MemberView, SwimEvent } from './swim-ports.ts';

interface Member {
  standing: Standing;
  /** Since when the status is what it is. */
  sinceMs: number;
  suspicion: Suspicion | undefined;
  /** When it was asked once more, as its last chance. */
  checkedAtMs: number | undefined;
  /** Its place among the living, or -1. */
  place: number;
}

interface MembersOptions {
  selfId: string;
  config: SwimConfig;
  random: Random;
  event: (event: SwimEvent) => void;
  /** What is new here, to be told to others. */
  tell: (claim: MemberClaim) => void;
}

export class Members {
  readonly #options: MembersOptions;
  readonly #byId = new Map<string, Member>();
  readonly #living: string[] = [];
  readonly #suspected = new Set<Member>();
  /** Undefined: to be found again. It is asked for at each message, and there may be hundreds of suspicions. */
  #nextExpiryMs: number | undefined;
  readonly #probeOrder: ProbeOrder;

  constructor(options: MembersOptions) {
    this.#options = options;
    this.#probeOrder = new ProbeOrder(options.random);
  }

  /** Members in all, this one included, that are alive or suspected. */
  get livingCount(): number {
    return this.#living.length + 1;
  }

  get knownCount(): number {
    return this.#byId.size;
  }

  isLiving(id: string): boolean {
    return (this.#byId.get(id)?.place ?? -1) >= 0;
  }

  isAlive(id: string): boolean {
    return this.isLiving(id) && this.#byId.get(id)?.standing.status === STATUS.alive;
  }

  addressOf(id: string): string | undefined {
    return this.#byId.get(id)?.standing.details?.address;
  }

  /** When a suspicion runs out, or a suspected member is to be asked once more; or Infinity. */
  get nextExpiryMs(): number {
    if (this.#nextExpiryMs !== undefined) return this.#nextExpiryMs;
    let nextMs = Infinity;
    for (const member of this.#suspected) nextMs = Math.min(nextMs, this.#dueMs(member));
    this.#nextExpiryMs = nextMs;
    return nextMs;
  }

  /** `from` counts as the accuser where the claim names none; `isNews`: who was not known yet is told to others. */
  learn(heard: MemberClaim, from: string, nowMs: number, isNews = true): void {
    const member = this.#byId.get(heard.id);
    if (member === undefined) {
      this.#add(heard, from, nowMs, isNews);
      return;
    }
    const accuser = heard.accuser ?? from;
    const isDeath = heard.status === STATUS.failed && isLiving(member.standing.status);
    const claim = isDeath ? { ...heard, status: STATUS.suspected } : heard;
    if (compareStanding(claim, member.standing) === 0 && member.suspicion?.confirm(accuser) === true) {
      this.#nextExpiryMs = undefined;
      this.#options.tell(suspicionClaim(member.standing, accuser));
    }
    this.#become(member, merge(member.standing, claim), accuser, nowMs);
    if (!isDeath || claim.incarnation !== member.standing.incarnation) return;
    member.suspicion?.shorten();
    this.#nextExpiryMs = undefined;
  }

  /** It has answered nobody that asked on behalf of this member. */
  accuse(id: string, nowMs: number): void {
    const member = this.#byId.get(id);
    if (member === undefined || !this.isLiving(id)) return;
    this.learn(suspicionClaim(member.standing, this.#options.selfId), this.#options.selfId, nowMs);
  }

  /**
   * It has sent something, which is no refutation yet: others need one, as they have not heard from it. But here its
   * time does not run out meanwhile.
   */
  heardFrom(id: string, nowMs: number): void {
    const member = this.#byId.get(id);
    if (member?.suspicion === undefined) return;
    member.suspicion.heard(nowMs);
    member.checkedAtMs = undefined;
    this.#nextExpiryMs = undefined;
  }

  /** Fails those that have not refuted in time; tells which of the others are to be asked once more. */
  expire(nowMs: number): string[] {
    const unclear: string[] = [];
    for (const member of this.#suspected) {
      if (this.#dueMs(member) > nowMs) continue;
      this.#nextExpiryMs = undefined;
      if (member.checkedAtMs === undefined) {
        member.checkedAtMs = nowMs;
        unclear.push(member.standing.id);
      } else this.#become(member, { ...member.standing, status: STATUS.failed }, this.#options.selfId, nowMs);
    }
    return unclear;
  }

  nextToProbe(): string | undefined {
    return this.#probeOrder.next((id) => this.isLiving(id));
  }

  /** Up to `count` of the living, at random, without `except`. */
  pick(count: number, except?: string): string[] {
    const { random } = this.#options;
    const picked: string[] = [];
    // Enough tries for any cluster but the smallest, where all are gone through instead.
    if (this.#living.length <= count + 1) return this.#living.filter((id) => id !== except).slice(0, count);
    for (let tries = 0; picked.length < count && tries < count * 4; tries++) {
      const id = random.pick(this.#living);
      if (id !== except && !picked.includes(id)) picked.push(id);
    }
    return picked;
  }

  /** Failed members with an address, for attempts to find them again. */
  failed(): Standing[] {
    return [...this.#byId.values()]
      .map(({ standing }) => standing)
      .filter(({ status, details }) => status === STATUS.failed && details !== undefined);
  }

  /** What to tell a member that is not alive here, so that it can refute. */
  chargeAgainst(id: string): MemberClaim | undefined {
    const member = this.#byId.get(id);
    if (member === undefined || member.standing.status === STATUS.alive) return undefined;
    return this.#claimOf(member, false, 0);
  }

  /** That it is alive, for another member to whom it is not. */
  wordFor(id: string): MemberClaim[] {
    const held = this.#byId.get(id)?.standing;
    return held?.status === STATUS.alive ? [withoutDetails(held)] : [];
  }

  /** What to answer to a claim that this member knows to be outdated: the accused is alive. */
  correctionOf(heard: MemberClaim): MemberClaim | undefined {
    const held = this.#byId.get(heard.id)?.standing;
    if (held?.status !== STATUS.alive || heard.status === STATUS.alive) return undefined;
    return compareStanding(held, heard) > 0 ? withoutDetails(held) : undefined;
  }

  /** Everything, for push-pull. */
  claims(nowMs: number): MemberClaim[] {
    return Array.from(this.#byId.values(), (member) => this.#claimOf(member, true, nowMs));
  }

  views(nowMs: number): MemberView[] {
    return Array.from(this.#byId.values(), (member) => this.#viewOf(member, nowMs));
  }

  /** Drops those that are gone for so long that nobody speaks of them any more. */
  forget(nowMs: number): void {
    for (const [id, { standing, sinceMs }] of this.#byId) {
      if (!isLiving(standing.status) && nowMs - sinceMs >= this.#forgetMs(standing.status)) this.#byId.delete(id);
    }
  }

  #add(heard: MemberClaim, from: string, nowMs: number, isNews: boolean): void {
    const goneMs = isLiving(heard.status) ? 0 : (heard.goneMs ?? 0);
    if (goneMs > 0 && goneMs >= this.#forgetMs(heard.status)) return;
    if (this.#byId.size >= this.#options.config.membersMax) return;
    const unknown = { id: heard.id, incarnation: -1, status: STATUS.left };
    const member: Member = {
      standing: unknown,
      sinceMs: nowMs,
      suspicion: undefined,
      checkedAtMs: undefined,
      place: -1,
    };
    this.#byId.set(heard.id, member);
    this.#become(member, merge(unknown, heard), heard.accuser ?? from, nowMs, isNews);
    member.sinceMs = nowMs - goneMs;
  }

  #become(member: Member, standing: Standing, accuser: string, nowMs: number, isNews = true): void {
    const before = member.standing;
    if (standing === before) return;
    const wasLiving = member.place >= 0;
    member.standing = standing;
    const isNewStanding = compareStanding(standing, before) !== 0;
    const isNewDetails = standing.details !== before.details;
    if (isNewStanding) this.#suspect(member, accuser, nowMs);
    if (standing.status !== before.status) member.sinceMs = nowMs;
    this.#place(member);
    const isAccused = standing.status === STATUS.suspected || standing.status === STATUS.failed;
    const told = isAccused ? suspicionClaim(standing, accuser) : standing;
    if (isNews) this.#options.tell(isNewDetails ? { ...told, ...detailsOf(standing) } : withoutDetails(told));
    for (const kind of eventsOf(before, standing, wasLiving, member.place >= 0, isNewDetails)) {
      this.#options.event({ kind, member: this.#viewOf(member, nowMs) });
    }
  }

  /** A last probe ends with the suspicion; confirmations that come all at once do not take it away. */
  #dueMs({ suspicion, checkedAtMs }: Member): number {
    if (suspicion === undefined) return Infinity;
    const { probeEndMs } = this.#options.config;
    if (checkedAtMs === undefined) return suspicion.deadlineMs - probeEndMs;
    return Math.max(suspicion.deadlineMs, checkedAtMs + probeEndMs);
  }

  /** A new standing: an earlier suspicion is answered, a new one begins. */
  #suspect(member: Member, accuser: string, nowMs: number): void {
    const isSuspected = member.standing.status === STATUS.suspected;
    member.checkedAtMs = undefined;
    this.#nextExpiryMs = undefined;
    member.suspicion = isSuspected ? new Suspicion(accuser, nowMs, this.#suspicionTimes()) : undefined;
    if (isSuspected) this.#suspected.add(member);
    else this.#suspected.delete(member);
  }

  #suspicionTimes() {
    const { suspicionMs, suspicionFactor, confirmationsMax } = this.#options.config;
    const minMs = suspicionMs * Math.max(1, Math.log10(this.livingCount) / 2);
    // Neither the suspected one nor its first accuser confirms.
    const others = Math.max(0, this.livingCount - 2);
    return { minMs, maxMs: minMs * suspicionFactor, confirmationsMax: Math.min(confirmationsMax, others) };
  }

  #place(member: Member): void {
    const { standing, place } = member;
    const isHere = isLiving(standing.status) && standing.details !== undefined;
    if (isHere === place >= 0) return;
    if (isHere) {
      member.place = this.#living.push(standing.id) - 1;
      this.#probeOrder.add(standing.id);
      return;
    }
    member.place = -1;
    const last = this.#living.pop();
    const moved = last === undefined || last === standing.id ? undefined : this.#byId.get(last);
    if (last === undefined || moved === undefined) return;
    this.#living[place] = last;
    moved.place = place;
  }

  #claimOf({ standing, sinceMs, suspicion }: Member, isWhole: boolean, nowMs: number): MemberClaim {
    const accuser = suspicion === undefined ? {} : { accuser: suspicion.accuser };
    const gone = isWhole && !isLiving(standing.status) ? { goneMs: Math.max(0, Math.floor(nowMs - sinceMs)) } : {};
    return { ...(isWhole ? standing : withoutDetails(standing)), ...accuser, ...gone };
  }

  #viewOf({ standing, sinceMs }: Member, nowMs: number): MemberView {
    const { id, incarnation, status, details } = standing;
    const name = STATUS_NAMES[status as 0 | 1 | 2 | 3];
    return { id, incarnation, status: name, details, forMs: nowMs - sinceMs };
  }

  #forgetMs(status: number): number {
    const { forgetFailedMs, forgetLeftMs } = this.#options.config;
    return status === STATUS.left ? forgetLeftMs : forgetFailedMs;
  }
}

function suspicionClaim({ id, incarnation, status }: Standing, accuser: string): MemberClaim {
  return { id, incarnation, status: Math.max(status, STATUS.suspected), accuser };
}

function withoutDetails({ id, incarnation, status, ...rest }: MemberClaim): MemberClaim {
  return { id, incarnation, status, ...(rest.accuser === undefined ? {} : { accuser: rest.accuser }) };
}

function detailsOf({ details }: Standing): Pick<MemberClaim, 'details'> {
  return details === undefined ? {} : { details };
}

function eventsOf(
  before: Standing,
  after: Standing,
  wasLiving: boolean,
  isHere: boolean,
  isNewDetails: boolean,
): ('join' | 'update' | 'suspect' | 'refute' | 'fail' | 'leave')[] {
  if (!wasLiving && !isHere) return [];
  if (!isHere) return [after.status === STATUS.left ? 'leave' : 'fail'];
  const isSuspected = after.status === STATUS.suspected;
  if (!wasLiving) return isSuspected ? ['join', 'suspect'] : ['join'];
  if (before.status !== after.status) {
    const changed = isSuspected ? 'suspect' : 'refute';
    return isNewDetails ? [changed, 'update'] : [changed];
  }
  // One that refuted what was never heard of here: else listeners would hold an incarnation of the past.
  return isNewDetails || after.incarnation !== before.incarnation ? ['update'] : [];
}
