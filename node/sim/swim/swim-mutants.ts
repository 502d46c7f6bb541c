/** Planted bugs of the membership: what implementations of SWIM got wrong, and what this one did. */
import type { Mutant } from '../mutants.ts';
import type { SwimCheck } from '../violation.ts';

const CLAIM = 'node/core/swim/claim.ts';
const MEMBERS = 'node/core/swim/members.ts';
const OWN = 'node/core/swim/own-standing.ts';
const PROBER = 'node/core/swim/prober.ts';
const PUSH_PULL = 'node/core/swim/push-pull.ts';
const SWIM = 'node/core/swim/swim.ts';
const DATAGRAM = 'node/core/tlv/datagram.ts';

function mutant(name: string, check: SwimCheck, file: string, find: string, replace: string): Mutant {
  return { name, check, edits: [{ file, find, replace }] };
}

export const SWIM_MUTANTS: readonly Mutant[] = [
  mutant(
    'alive-wins-a-tie',
    'standingBack',
    CLAIM,
    'compareStanding(heard, held) > 0 ? heard : held',
    'compareStanding({ ...heard, status: heard.status || 9 }, held) > 0 ? heard : held',
  ),
  mutant(
    'older-incarnation-wins',
    'standingBack',
    CLAIM,
    'compareStanding(heard, held) > 0 ? heard : held',
    'heard.status > held.status || compareStanding(heard, held) > 0 ? heard : held',
  ),
  mutant(
    'refutes-without-raising',
    'healthyFailed',
    OWN,
    'this.#wantedIncarnation = Math.max(this.#wantedIncarnation, incarnation + 1);',
    'this.#wantedIncarnation = Math.max(this.#wantedIncarnation, incarnation);',
  ),
  mutant(
    'restart-forgets-incarnation',
    'incarnationBack',
    OWN,
    'this.#wantedIncarnation = options.ceiling + 1;',
    'this.#wantedIncarnation = 1;',
  ),
  mutant(
    'restart-forgets-version',
    'incarnationBack',
    OWN,
    'this.#wantedVersion = options.ceiling + 1;',
    'this.#wantedVersion = 1;',
  ),
  mutant(
    'dead-by-hearsay',
    'hearsay',
    MEMBERS,
    'const isDeath = heard.status === STATUS.failed && isLiving(member.standing.status);',
    'const isDeath = false;',
  ),
  mutant(
    'slow-member-accuses',
    'healthyAccused',
    'node/core/swim/own-clock.ts',
    'const stillMs = Math.max(0, lateMs - this.#toleranceMs);',
    'const stillMs = lateMs > 1e9 ? lateMs : 0;',
  ),
  {
    name: 'halves-stay-apart',
    check: 'oneView',
    edits: [
      {
        file: SWIM,
        find: 'const failed = this.#members.failed();',
        replace: 'const failed = this.#members.failed().slice(0, 0);',
      },
      { file: PUSH_PULL, find: '|| !this.#options.members.isAlive(peer)', replace: '' },
      { file: PUSH_PULL, find: 'exchange(random.pick(peers));', replace: 'this.#due.clear();' },
    ],
  },
  mutant('newcomers-content-with-little', 'oneView', PUSH_PULL, 'if (isPeerNewcomer) {', 'if (peer === undefined) {'),
  mutant(
    'connections-do-not-count',
    'healthyAccused',
    PROBER,
    'if (probe.answeredByStream) {',
    'if (probe.nacks < 0) {',
  ),
  mutant(
    'no-last-chance',
    'healthyFailed',
    MEMBERS,
    'if (member.checkedAtMs === undefined) {',
    'if (member.checkedAtMs === nowMs) {',
  ),
  mutant(
    'datagram-too-large',
    'datagramSize',
    SWIM,
    'let bytesLeft = payloadBytesMax -',
    'let bytesLeft = 2 * payloadBytesMax -',
  ),
  mutant(
    'takes-what-is-forged',
    'forged',
    DATAGRAM,
    "if (frame === undefined) return 'forged';",
    'if (frame === undefined) return datagram.subarray(HEAD_BYTES, datagram.length - 16);',
  ),
  mutant(
    'takes-what-is-replayed',
    'replayed',
    DATAGRAM,
    "if (known?.isFresh(counter) === false) return 'replayed';",
    '',
  ),
];
