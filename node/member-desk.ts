/**
 * What a coordinator has to do with the members: carries out an operator's orders, records what it learns of them, tells
 * strangers that they are none and workers where the coordinators are. The Raft core decides; this is what goes with it.
 */
import { assert } from '../base/assert.ts';
import { DistricError } from '../base/errors.ts';
import type { Host } from '../base/host.ts';
import { Administration, orderedChange, type OrderedChange, orderOf } from './administration.ts';
import {
  changed,
  isDiskOf,
  type MemberInfo,
  memberInfo,
  type Membership,
  type MembershipOrder,
  members,
} from './core/raft/membership.ts';
import type { Raft } from './core/raft/raft.ts';
import {
  ChangeMembers,
  COMMAND,
  FoundCluster,
  type Founding,
  Note,
  TransferLeadership,
} from './core/state/commands.ts';
import { DONE, type ProposalResult } from './core/state/outcomes.ts';
import type { Body } from './core/tlv/messages.ts';
import { decode, encode, MalformedError } from './core/tlv/struct.ts';
import { MemberNews } from './member-news.ts';
import type { CoordinatorPorts } from './ports.ts';
import { type Origin, refusal } from './proposals.ts';
import { RefusalRows } from './refusal-notes.ts';
import { Standing } from './standing.ts';

export interface MemberDeskParts {
  host: Host;
  ports: Pick<CoordinatorPorts, 'send' | 'log'>;
  raft: Raft;
  nodeId: string;
  dataUuid: string | undefined;
  /** Of the voters that the cluster is born with: for as long as the log does not have them. */
  addresses: Map<string, MemberInfo>;
  /** Appends a membership. */
  propose: (membership: Membership, order: MembershipOrder | undefined, origin: Origin) => void;
  /** Appends a command as it is. */
  append: (commandKind: number, command: Uint8Array, origin: Origin) => void;
  /** Why a voter to be cannot follow the cluster. */
  levelFault: (to: Membership) => string | undefined;
}

const ORDERS: ReadonlySet<number> = new Set([COMMAND.changeMembers, COMMAND.transferLeadership]);

export class MemberDesk {
  readonly #parts: MemberDeskParts;
  readonly #administration: Administration;
  readonly #news = new MemberNews();
  readonly #refusals = new RefusalRows();
  readonly standing: Standing;
  /** What this node was told to found. */
  #founding: Founding | undefined;

  constructor(parts: MemberDeskParts) {
    this.#parts = parts;
    this.#administration = new Administration(parts.raft);
    this.standing = new Standing(parts.raft, parts.nodeId, parts.dataUuid);
  }

  /** By the log; before a new cluster has it there, by the configuration. */
  infoOf(id: string): MemberInfo {
    return { ...this.#parts.addresses.get(id), ...memberInfo(this.#parts.raft.membership, id) };
  }

  /** Of all members, as far as they are known. */
  addresses(): { id: string; address: string }[] {
    return members(this.#parts.raft.membership).flatMap((id) => {
      const { address } = this.infoOf(id);
      return address === undefined ? [] : [{ id, address }];
    });
  }

  // ---- orders --------------------------------------------------------------------------------------------------------

  isOrder(commandKind: number): boolean {
    return ORDERS.has(commandKind);
  }

  /** Of a leader: a refusal, which goes on record, or undefined when it is an entry of the log now. */
  carryOut(commandKind: number, command: Uint8Array, origin: Origin, nowMs: number): ProposalResult | undefined {
    let order: MembershipOrder | undefined;
    try {
      if (commandKind === COMMAND.changeMembers) {
        const { change: text, actor } = decode(this.#parts.host, ChangeMembers, command);
        const change = orderedChange(text);
        order = actor === undefined ? undefined : orderOf(change, actor);
        this.#changeMembers(change, order, origin);
      } else {
        const { target, actor } = decode(this.#parts.host, TransferLeadership, command);
        order = actor === undefined ? undefined : { actor, action: 'leader.transfer', target: `member/${target}` };
        const fault = this.#administration.transferFault(target);
        if (fault !== undefined) throw fault;
        this.#parts.append(commandKind, command, origin);
      }
      return undefined;
    } catch (error) {
      if (error instanceof MalformedError) return refusal('INVALID_REQUEST', error.message);
      if (!(error instanceof DistricError)) throw error;
      if (order !== undefined) this.#noteRefusal(order, error, nowMs);
      return refusal(error.code, error.message);
    }
  }

  #changeMembers(change: OrderedChange, order: MembershipOrder | undefined, origin: Origin): void {
    const to = this.#administration.membershipFor(change);
    const fault = this.#parts.levelFault(to);
    if (fault !== undefined) throw new DistricError('INVALID_REQUEST', fault);
    this.#parts.propose(to, order, origin);
  }

  #noteRefusal({ actor, ...order }: MembershipOrder, error: DistricError, nowMs: number): void {
    const row = this.#refusals.rowOf(actor, order, error, nowMs);
    if (row === undefined) return;
    const command = encode(this.#parts.host, Note, { ...row, actor });
    this.#parts.append(COMMAND.note, command, { kind: 'loop', applied: () => undefined });
  }

  /** Hands the leadership to `target`, '' for the voter that has most of the log. False: it comes to nothing. */
  transfer(target: string): boolean {
    if (this.#parts.raft.role !== 'leader') return false;
    if (this.#administration.transfer(target)) return true;
    const text = 'the leadership cannot be handed on: no such voter answers';
    this.#parts.ports.log.warn({ component: 'raft', target }, text);
    return false;
  }

  // ---- founding ------------------------------------------------------------------------------------------------------

  /** The id and size of the cluster that this node founds, if it was told to. */
  get founding(): Pick<Founding, 'clusterId' | 'minVotersForWrites'> | undefined {
    if (this.#founding === undefined) return undefined;
    const { clusterId, minVotersForWrites } = this.#founding;
    return { clusterId, minVotersForWrites };
  }

  /** What needs no leader: an order to found a cluster, and everything at a node that is in none (any more). */
  settled(commandKind: number, command: Uint8Array, clusterId: string): ProposalResult | undefined {
    if (commandKind === COMMAND.foundCluster) return this.#found(command, clusterId);
    const { place, text = place } = this.standing;
    return place === 'removed' || place === 'wrong disk' ? refusal('NO_LEADER', text) : undefined;
  }

  /** Makes this node the first voter of a new cluster. The same order again changes nothing; `clusterId` is what it has. */
  #found(command: Uint8Array, clusterId: string): ProposalResult {
    const { host, raft, nodeId, dataUuid, addresses } = this.#parts;
    const order = decode(host, FoundCluster, command);
    const known = clusterId === '' ? this.#founding?.clusterId : clusterId;
    if (known === order.clusterId) return DONE;
    if (order.dataUuid !== dataUuid) {
      return refusal('INVALID_REQUEST', `the disk of ${nodeId} is ${String(dataUuid)}, not ${order.dataUuid}`);
    }
    if (known !== undefined || members(raft.membership).length > 0 || this.standing.hearsOfCluster) {
      return refusal('ALREADY_EXISTS', `${nodeId} is in a cluster already, or has heard of one: add it to that`);
    }
    this.#founding = order;
    const { address, httpAddress } = order;
    addresses.set(nodeId, { address, ...(httpAddress === undefined ? {} : { httpAddress }) });
    raft.found();
    return DONE;
  }

  // ---- leading -------------------------------------------------------------------------------------------------------

  /** What was learnt of the members goes into the log. */
  record(): void {
    const { raft, nodeId, dataUuid, addresses, propose } = this.#parts;
    if (dataUuid === undefined || raft.membershipBusy() !== undefined) return;
    this.#news.heard(nodeId, dataUuid);
    const about = this.#news.since(raft.membership, raft.membershipIndex, addresses);
    if (about === undefined) return;
    const to = changed(raft.membership, { kind: 'record', about });
    assert(!('reason' in to), 'what is known of members can be recorded');
    propose(to, undefined, { kind: 'loop', applied: () => undefined });
  }

  /** A voter is in once it has the membership that says which disk each one has: from then on none can be confused. */
  votersIn(): number {
    const { raft, dataUuid } = this.#parts;
    const { membership, membershipIndex } = raft;
    return membership.voters.filter((id) => {
      const isKnown = dataUuid === undefined || memberInfo(membership, id).dataUuid !== undefined;
      return isKnown && (raft.matchIndexOf(id) ?? 0) >= membershipIndex;
    }).length;
  }

  // ---- telling -------------------------------------------------------------------------------------------------------

  /** Looks where this node stands, and says so when that has changed. */
  watch(): void {
    if (!this.standing.look()) return;
    const { place, text } = this.standing;
    const { log } = this.#parts.ports;
    if (text === undefined) log.info({ component: 'members', place }, 'this node is a member');
    else log[place === 'joining' ? 'info' : 'error']({ component: 'members', place }, text);
  }

  /** False: the answer comes from a disk that is not the member's, and does not count. */
  heard(from: string, dataUuid: string | undefined): boolean {
    if (!isDiskOf(this.#parts.raft.membership, from, dataUuid)) {
      this.tellStranger(from, dataUuid);
      return false;
    }
    this.#news.heard(from, dataUuid);
    return true;
  }

  told(body: Body<'NOT_A_MEMBER'>): void {
    this.standing.told(body);
  }

  tellStranger(peer: string, dataUuid: string | undefined): void {
    const body = this.standing.answerTo(peer, dataUuid);
    if (body !== undefined) this.#parts.ports.send(peer, { kind: 'NOT_A_MEMBER', body });
  }

  /** Workers find the coordinators by what these tell them. */
  tellWorkers(workers: Iterable<string>): void {
    const { raft, ports } = this.#parts;
    const coordinators = this.addresses();
    if (coordinators.length === 0) return;
    const body = { leaderId: raft.leaderId ?? '', coordinators };
    for (const worker of workers) ports.send(worker, { kind: 'CLUSTER_VIEW', body });
  }
}
