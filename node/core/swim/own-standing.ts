/**
 * What this member says of itself.
 *
 * 1. Its incarnation and the version of its details only ever rise, over restarts too: both are drawn below a ceiling
 *    that is durable before they are told, and a start begins above the ceiling of before.
 * 2. Only an accusation, or a claim of an earlier life that the disk has forgotten, raises the incarnation.
 */
import type { MemberClaim, MemberDetails } from '../tlv/messages.ts';
import { isLiving, STATUS } from './claim.ts';

/** So many numbers are kept ahead, so that a refutation seldom has to wait for the disk. */
const RESERVE = 256;

export type OwnDetails = Omit<MemberDetails, 'version'>;

interface OwnStandingOptions {
  id: string;
  details: OwnDetails;
  /** Durable from before; 0 at the first start. */
  ceiling: number;
  persist: (ceiling: number) => void;
  tell: (claim: MemberClaim) => void;
}

export class OwnStanding {
  readonly #options: OwnStandingOptions;
  #details: OwnDetails;
  #incarnation = 0;
  #version = 0;
  #wantedIncarnation: number;
  #wantedVersion: number;
  #ceiling: number;
  #asked: number;
  #left = false;

  constructor(options: OwnStandingOptions) {
    this.#options = options;
    this.#details = options.details;
    this.#ceiling = options.ceiling;
    this.#asked = options.ceiling;
    this.#wantedIncarnation = options.ceiling + 1;
    this.#wantedVersion = options.ceiling + 1;
  }

  /** False until its first numbers are durable: nothing is said before. */
  get started(): boolean {
    return this.#incarnation > 0;
  }

  get left(): boolean {
    return this.#left;
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  get claim(): MemberClaim {
    const details = { ...this.#details, version: this.#version };
    return { id: this.#options.id, incarnation: this.#incarnation, status: this.#status, details };
  }

  /** Tells its first claim once it may. */
  start(): void {
    this.#settle();
  }

  persisted(ceiling: number): void {
    this.#ceiling = Math.max(this.#ceiling, ceiling);
    this.#settle();
  }

  describe(details: OwnDetails): void {
    this.#details = details;
    this.#wantedVersion = Math.max(this.#wantedVersion, this.#version + 1);
    this.#settle();
  }

  /** What others say of it. True when that was an accusation, which it answers. */
  learn({ incarnation, status, details }: MemberClaim): boolean {
    if (this.#left) return false;
    const isAccused = !isLiving(status) || status === STATUS.suspected;
    const isStale = isAccused ? incarnation < this.#incarnation : incarnation <= this.#incarnation;
    if (!isStale) this.#wantedIncarnation = Math.max(this.#wantedIncarnation, incarnation + 1);
    if (details !== undefined && details.version > this.#version) {
      this.#wantedVersion = Math.max(this.#wantedVersion, details.version + 1);
    }
    this.#settle();
    return isAccused && !isStale;
  }

  /** What to answer to an accusation that is answered already. */
  correctionOf({ incarnation, status }: MemberClaim): MemberClaim | undefined {
    return status !== STATUS.alive && incarnation < this.#incarnation ? this.#withoutDetails() : undefined;
  }

  leave(): void {
    this.#left = true;
    if (this.started) this.#options.tell(this.#withoutDetails());
  }

  get #status(): number {
    return this.#left ? STATUS.left : STATUS.alive;
  }

  #withoutDetails(): MemberClaim {
    return { id: this.#options.id, incarnation: this.#incarnation, status: this.#status };
  }

  #settle(): void {
    const wanted = Math.max(this.#wantedIncarnation, this.#wantedVersion);
    if (wanted + RESERVE / 2 > this.#asked) {
      this.#asked = wanted + RESERVE;
      this.#options.persist(this.#asked);
    }
    if (wanted > this.#ceiling) return;
    const isNewVersion = this.#wantedVersion > this.#version;
    if (!isNewVersion && this.#wantedIncarnation <= this.#incarnation) return;
    this.#incarnation = Math.max(this.#incarnation, this.#wantedIncarnation);
    this.#version = Math.max(this.#version, this.#wantedVersion);
    this.#options.tell(isNewVersion ? this.claim : this.#withoutDetails());
  }
}
