/** Raft's promises, watched from outside the core: by what nodes send, write, and take as committed. */
import { decodeEntry } from '../../core/raft/entry.ts';
import { isJoint, memberInfo, type Membership, quorum } from '../../core/raft/membership.ts';
import type { SequencedWrite } from '../../core/raft/outbox.ts';
import type { Message } from '../../core/tlv/messages.ts';
import { nodeHost } from '../../io/host.ts';
import type { Counters } from '../counters.ts';
import type { StateEvent } from '../../core/state/events.ts';
import type { Entry } from '../../core/raft/entry.ts';
import type { Roster } from '../roster.ts';
import type { Observer } from '../observer.ts';
import type { SimCoordinator } from '../sim-coordinator.ts';
import { demand } from '../violation.ts';

interface Known {
  term: number;
  checksum: number;
  /** Term of the leader that committed it. */
  committedIn: number;
}

interface NodeRecord {
  id: string;
  /** Highest term it has spoken in. */
  term: number;
  /** Its vote per term. */
  votes: Map<number, string>;
  /** Commit index of the process as last seen. */
  commitIndex: number;
  ledTerm: number;
  /** It led at the end of its last turn. */
  leading: boolean;
  /** The membership it acted on at the end of its last turn. */
  membership: Membership | undefined;
}

const TWO_40 = 2 ** 40;

export class RaftChecks implements Observer {
  readonly #counters: Counters;
  /** The network is partitioned. */
  readonly #isCut: () => boolean;
  #nodes: readonly SimCoordinator[] = [];
  #roster: Roster | undefined;
  /** How far leaders have shown that what they commit is durable; followers go by their word. */
  #durableIndex = 0;
  #membershipIndex = 0;
  readonly #records = new Map<string, NodeRecord>();
  readonly #leaders = new Map<number, string>();
  /** Checksum by (term, index) of every entry ever written. */
  readonly #entries = new Map<number, number>();
  /** By index, from 1. */
  readonly #committed: Known[] = [{ term: 0, checksum: 0, committedIn: 0 }];

  constructor(counters: Counters, isCut: () => boolean) {
    this.#counters = counters;
    this.#isCut = isCut;
  }

  watch(roster: Roster): void {
    this.#nodes = roster.nodes;
    this.#roster = roster;
  }

  get committedIndex(): number {
    return this.#committed.length - 1;
  }

  onBoot(node: SimCoordinator): void {
    const raft = node.coordinator?.raft;
    if (raft === undefined) return;
    const record = this.#record(node);
    demand(
      raft.term >= record.term,
      'termBack',
      () => `${node.id} is back in term ${raft.term}, was in ${record.term}`,
    );
    demand(
      raft.term >= raft.log.lastTerm,
      'termBack',
      () => `${node.id} is back in term ${raft.term}, with an entry of term ${raft.log.lastTerm}`,
    );
    record.commitIndex = 0;
    record.ledTerm = 0;
    record.leading = false;
    record.membership = undefined;
    if (raft.log.lastIndex > raft.commitIndex) this.#counters.add('restart with entries to apply again');
    this.onTurn(node);
  }

  onSend(node: SimCoordinator, to: string, message: Message): void {
    const record = this.#record(node);
    switch (message.kind) {
      case 'REQUEST_VOTE':
        this.#vote(node, record, message.body.term, node.id);
        for (const other of this.#records.values()) {
          if (other.id !== node.id && other.votes.get(message.body.term) === other.id)
            this.#counters.add('two candidates in one term');
        }
        break;
      case 'REQUEST_VOTE_RESPONSE':
        if (message.body.granted) this.#vote(node, record, message.body.term, to);
        break;
      case 'INSTALL_SNAPSHOT':
      case 'INSTALL_SNAPSHOT_RESPONSE':
      case 'TIMEOUT_NOW':
      case 'APPEND_ENTRIES':
      case 'APPEND_ENTRIES_RESPONSE':
        break;
      case 'PRE_VOTE_RESPONSE':
        // A grant echoes the term that was asked for; nobody is in it yet.
        if (message.body.granted) return;
        break;
      default:
        return;
    }
    const { term } = message.body;
    demand(term >= record.term, 'termBack', () => `${node.id} speaks in term ${term} after ${record.term}`);
    record.term = term;
  }

  #vote(node: SimCoordinator, record: NodeRecord, term: number, candidate: string): void {
    const before = record.votes.get(term);
    record.votes.set(term, candidate);
    demand(before === undefined || before === candidate, 'oneVote', () => {
      return `${node.id} votes for ${candidate} in term ${term} after ${String(before)}`;
    });
  }

  onPersist(node: SimCoordinator, write: SequencedWrite): void {
    const { truncateFrom } = write;
    if (truncateFrom !== undefined) {
      this.#counters.add('log suffix replaced');
      const committed = this.#committed[truncateFrom];
      const own = node.logDisk.flushed(truncateFrom);
      const checksum = own === undefined ? undefined : decodeEntry(nodeHost, own)?.checksum;
      demand(committed === undefined || checksum !== committed.checksum, 'commitHistory', () => {
        return `${node.id} truncates from ${truncateFrom}, and that entry is committed`;
      });
    }
    for (const { index, bytes } of write.entries) {
      const entry = decodeEntry(nodeHost, bytes);
      demand(entry?.index === index, 'logMatching', () => `${node.id} writes a damaged entry ${index}`);
      if (entry === undefined) continue;
      const key = entry.term * TWO_40 + index;
      const known = this.#entries.get(key);
      this.#entries.set(key, entry.checksum);
      demand(known === undefined || known === entry.checksum, 'logMatching', () => {
        return `${node.id} writes another entry ${index} of term ${entry.term} than is known`;
      });
    }
  }

  onTurn(node: SimCoordinator): void {
    const raft = node.coordinator?.raft;
    if (raft === undefined) return;
    const record = this.#record(node);
    // What it learned as a follower, in the turn that made it the leader, it has not counted itself.
    const counted = raft.role === 'leader' && record.ledTerm === raft.term;
    if (raft.role === 'leader' && record.ledTerm !== raft.term) this.#onLeader(node, record, raft.term);
    const led = record.leading;
    record.leading = raft.role === 'leader';
    const before = record.membership ?? raft.membership;
    record.membership = raft.membership;
    if (raft.commitIndex === record.commitIndex) return;
    demand(raft.commitIndex > record.commitIndex, 'commitBack', () => {
      return `${node.id} went from ${record.commitIndex} to ${raft.commitIndex}`;
    });
    for (let index = Math.max(record.commitIndex + 1, raft.log.firstIndex, 1); index <= raft.commitIndex; index++) {
      const { term, checksum } = raft.log.entry(index);
      const known = this.#committed[index];
      if (known === undefined) this.#committed[index] = { term, checksum, committedIn: raft.term };
      demand(known !== undefined || led, 'commitOwnTerm', () => {
        return `${node.id} is the first to commit entry ${index}, and is no leader that could have counted it`;
      });
      demand(known === undefined || known.checksum === checksum, 'commitHistory', () => {
        return `${node.id} commits entry ${index} of term ${term}, already committed is one of term ${String(known?.term)}`;
      });
    }
    record.commitIndex = raft.commitIndex;
    const lastTerm = raft.log.entry(raft.commitIndex).term;
    demand(!counted || lastTerm === raft.term, 'commitOwnTerm', () => {
      return `${node.id} leads term ${raft.term} and commits up to ${raft.commitIndex}, of term ${lastTerm}`;
    });
    // Of what a turn commits, some may be counted before it changes the members, some after.
    this.#checkDurable(node, [before, raft.membership], raft.commitIndex);
  }

  /** The checksum chain covers what is before it, so the last entry stands for all. */
  #checkDurable(node: SimCoordinator, memberships: readonly Membership[], index: number): void {
    if (index <= this.#durableIndex) return;
    this.#durableIndex = index;
    const checksum = this.#committed[index]?.checksum;
    // The disk that counts as the member's: one that was lost since it told so had the entry.
    const holds = (membership: Membership, id: string): boolean => {
      const disk = this.#nodes.find((one) => one.id === id)?.logDiskOf(memberInfo(membership, id).dataUuid);
      const bytes = disk?.flushed(index);
      // What is cut away was applied, and what a snapshot brought was committed.
      if (bytes === undefined) return disk !== undefined && disk.boot.firstIndex > index;
      return decodeEntry(nodeHost, bytes)?.checksum === checksum;
    };
    demand(
      memberships.some((membership) => quorum(membership, (id) => holds(membership, id))),
      'commitDurable',
      () => `${node.id} commits ${index}, which is not on the disks of a majority of ${JSON.stringify(memberships)}`,
    );
  }

  onInstall(node: SimCoordinator): void {
    const leader = this.#roster?.leader?.coordinator;
    const isJointNow = leader !== undefined && isJoint(leader.raft.membership);
    if (isJointNow && node.coordinator !== undefined) {
      this.#counters.add('snapshot installed with a joint membership in the log');
    }
  }

  onApply(node: SimCoordinator, entry: Entry, events: readonly StateEvent[]): void {
    for (const event of events) {
      if (event.kind === 'membershipChanged') this.#onMembership(node, entry.index, event.membership);
    }
  }

  #onMembership(node: SimCoordinator, index: number, membership: Membership): void {
    const roster = this.#roster;
    if (roster === undefined || index <= this.#membershipIndex) return;
    this.#membershipIndex = index;
    const before = roster.current;
    const same = (a: readonly string[], b: readonly string[]): boolean => [...a].sort().join() === [...b].sort().join();
    const isStep = isJoint(before)
      ? same(membership.voters, before.voters) && !isJoint(membership)
      : same(membership.voters, before.voters) || same(membership.outgoing, before.voters);
    demand(isStep, 'memberSteps', () => {
      return `${node.id} applies ${JSON.stringify(membership)} at ${index} after ${JSON.stringify(before)}`;
    });
    this.#counters.add(isJoint(membership) ? 'joint membership committed' : 'membership committed');
    const isPromotion = membership.voters.some((id) => before.learners.includes(id));
    if (isPromotion && this.#isCut()) this.#counters.add('learner promoted under a partition');
    if (node.coordinator?.raft.role === 'leader' && !membership.voters.includes(node.id)) {
      this.#counters.add('leader removed');
    }
    roster.changed(index, membership);
  }

  #onLeader(node: SimCoordinator, record: NodeRecord, term: number): void {
    record.ledTerm = term;
    const other = this.#leaders.get(term);
    demand(
      other === undefined || other === node.id,
      'oneLeader',
      () => `${node.id} and ${String(other)} lead term ${term}`,
    );
    this.#leaders.set(term, node.id);
    const leading = this.#nodes.filter(({ coordinator }) => coordinator?.raft.role === 'leader').length;
    if (leading > 1) this.#counters.add('two leaders of different terms at once');
    // A late winner of an old term knows nothing of what newer terms have committed, and will not commit anything.
    let last = this.committedIndex;
    while ((this.#committed[last]?.committedIn ?? 0) > term) last--;
    const log = node.coordinator?.raft.log;
    if (last === 0 || log === undefined) return;
    const has =
      log.firstIndex > last || (log.lastIndex >= last && log.entry(last).checksum === this.#committed[last]?.checksum);
    demand(has, 'leaderCompleteness', () => `${node.id} leads term ${term} without the committed entry ${last}`);
  }

  #record(node: SimCoordinator): NodeRecord {
    // Another disk is another voter: nothing that the one before promised is known to it, and it must not count as that.
    const known = this.#records.get(node.dataUuid);
    if (known !== undefined) return known;
    const { id } = node;
    const record: NodeRecord = {
      id,
      term: 0,
      votes: new Map(),
      commitIndex: 0,
      ledTerm: 0,
      leading: false,
      membership: undefined,
    };
    this.#records.set(node.dataUuid, record);
    return record;
  }
}
