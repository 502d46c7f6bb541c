/**
 * Says when this host is too slow for its election timing. A leader whose timers run late sends its heartbeats late: when
 * that comes near the time-out, followers replace leaders that are alive.
 */
import type { LoopLog } from '../ports.ts';

/** The delay that one in a thousand timers exceeds may be this share of the shortest election time-out. */
const DELAY_SHARE_MAX = 0.1;
/** Of fewer samples one in a thousand says nothing. */
const SAMPLES_MIN = 2_000;
const LOOK_MS = 15_000;

/** As EventLoopDelay measures it. */
export interface DelaySource {
  readonly sampleCount: number;
  seconds(percentile: number): number;
}

export class ProfileWatch {
  readonly #profile: string;
  readonly #delayMsMax: number;
  readonly #delay: DelaySource;
  readonly #log: LoopLog;
  readonly #timer: NodeJS.Timeout;
  #isTooTight = false;

  constructor(profile: string, electionMsMin: number, delay: DelaySource, log: LoopLog) {
    this.#profile = profile;
    this.#delayMsMax = electionMsMin * DELAY_SHARE_MAX;
    this.#delay = delay;
    this.#log = log;
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref();
  }

  look(): void {
    if (this.#delay.sampleCount < SAMPLES_MIN) return;
    const delayMs = this.#delay.seconds(99.9) * 1_000;
    const isTooTight = delayMs > this.#delayMsMax;
    if (isTooTight === this.#isTooTight) return;
    this.#isTooTight = isTooTight;
    const fields = {
      ...{ component: 'raft', profile: this.#profile },
      ...{ delay_ms: Math.round(delayMs), delay_ms_max: this.#delayMsMax },
    };
    if (isTooTight) this.#log.warn(fields, 'the raft profile is too tight for this host: live leaders may be replaced');
    else this.#log.info(fields, 'this host keeps up with its raft profile again');
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
