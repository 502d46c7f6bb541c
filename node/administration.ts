/** What an operator orders the leader to do: change the members, hand the leadership on. */
import { DistricError } from '../base/errors.ts';
import {
  changed,
  memberInfo,
  type Membership,
  type MembershipChange,
  type MembershipOrder,
} from './core/raft/membership.ts';
import type { Raft } from './core/raft/raft.ts';
import type { ActorField } from './core/state/commands.ts';

/** As the audit log names them. */
const ACTIONS = {
  addLearner: 'member.add',
  promote: 'member.promote',
  remove: 'member.remove',
  replace: 'member.replace',
  renew: 'member.renew',
} as const;
const ORDER_FIELDS: ReadonlySet<string> = new Set(['kind', 'id', 'ids', 'out', 'in', 'address', 'httpAddress']);
export type OrderedChange = Extract<MembershipChange, { kind: keyof typeof ACTIONS }>;

export class Administration {
  readonly #raft: Raft;

  constructor(raft: Raft) {
    this.#raft = raft;
  }

  /** The membership to propose. Throws DistricError: QUEUE_FULL while another change is under way, INVALID_REQUEST. */
  membershipFor(change: OrderedChange): Membership {
    const busy = this.#raft.membershipBusy();
    if (busy !== undefined) throw new DistricError('QUEUE_FULL', busy);
    const { membership } = this.#raft;
    const to = changed(membership, change);
    const fault = 'reason' in to ? to.reason : (addressFault(membership, to) ?? this.#raft.promotionFault(to));
    if ('reason' in to || fault !== undefined) throw new DistricError('INVALID_REQUEST', fault ?? '');
    return to;
  }

  /** Why the leadership cannot go to `target`. */
  transferFault(target: string): DistricError | undefined {
    const raft = this.#raft;
    if (target === '' && this.#furthest() === undefined) {
      return new DistricError('INVALID_REQUEST', 'no other voter answers: there is nobody to lead');
    }
    if (target === '') return undefined;
    if (target === raft.leaderId) return new DistricError('INVALID_REQUEST', `"${target}" leads already`);
    if (raft.membership.voters.includes(target) && raft.peerActive(target)) return undefined;
    return new DistricError('INVALID_REQUEST', `"${target}" is no other voter, or does not answer`);
  }

  /** Begins to hand the leadership to `target`; '' is the voter that has most of the log. False: it comes to nothing. */
  transfer(target: string): boolean {
    if (this.#raft.role !== 'leader') return false;
    const chosen = target === '' ? this.#furthest() : target;
    return chosen !== undefined && this.#raft.transferTo(chosen);
  }

  /** Of the other voters that answer, the one with most of the log. */
  #furthest(): string | undefined {
    const raft = this.#raft;
    const matchIndexOf = (id: string): number => raft.matchIndexOf(id) ?? 0;
    const others = raft.membership.voters.filter((id) => raft.matchIndexOf(id) !== undefined && raft.peerActive(id));
    return others.sort((a, b) => matchIndexOf(b) - matchIndexOf(a))[0];
  }
}

/** Throws INVALID_REQUEST. */
export function orderedChange(text: string): OrderedChange {
  const fault = new DistricError('INVALID_REQUEST', 'the command holds no change of the members');
  let change: unknown;
  try {
    change = JSON.parse(text);
  } catch {
    throw fault;
  }
  const kind = typeof change === 'object' && change !== null && 'kind' in change ? change.kind : undefined;
  if (typeof kind !== 'string' || !Object.hasOwn(ACTIONS, kind)) throw fault;
  // Each field of an order is an id or an address, but for the lists of ids.
  const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
  for (const [name, value] of Object.entries(change as object)) {
    const fits = name === 'ids' ? Array.isArray(value) && value.every(isText) : isText(value);
    if (!fits || !ORDER_FIELDS.has(name)) throw fault;
  }
  const ids: readonly unknown[] = idsOf(change as OrderedChange);
  if (!Array.isArray(ids) || ids.length === 0 || !ids.every(isText)) throw fault;
  return change as OrderedChange;
}

/** How the audit log names it. */
export function orderOf(change: OrderedChange, actor: ActorField): MembershipOrder {
  return { actor, action: ACTIONS[change.kind], target: `member/${idsOf(change).join(',')}` };
}

function idsOf(change: OrderedChange): readonly string[] {
  if ('ids' in change) return change.ids;
  return 'out' in change ? [change.out, change.in] : [change.id];
}

/** Two members at one address would be one. */
function addressFault(from: Membership, to: Membership): string | undefined {
  const infos = Object.entries({ ...to.about, ...to.returning });
  for (const [id, { address }] of infos) {
    const other = infos.find(([otherId, info]) => otherId !== id && info.address === address);
    if (address === undefined || other === undefined) continue;
    if (memberInfo(from, id).address !== address) return `"${other[0]}" is reached at ${address} already`;
  }
  return undefined;
}
