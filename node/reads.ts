/**
 * Queries. A linearizable one waits for a read index (Raft dissertation §6.4): all that arrive in one turn share one
 * round of heartbeats on the leader, or one question to it from a follower.
 */
import { DistricError } from '../base/errors.ts';
import type { Raft } from './core/raft/raft.ts';
import type { StateMachine } from './core/state/machine.ts';
import type { Query } from './core/state/query.ts';
import type { Body } from './core/tlv/messages.ts';
import type { CoordinatorPorts, Input } from './ports.ts';

type QueryInput = Extract<Input, { kind: 'query' }>;

/** Queries that wait for a read index; over it they are refused with QUEUE_FULL. */
export const QUERIES_WAITING_MAX = 10_000;
/** A read that has had no index for this long is refused: the leader does not answer. */
export const READ_TIMEOUT_MS = 5_000;

/** A leader that refused is asked again after this: it may not know yet what is committed, or not lead any more. */
export const ASK_AGAIN_MS = 20;

interface Waiting {
  query: QueryInput;
  sinceMs: number;
}

interface Round {
  queries: Waiting[];
  /** Peers that asked for the same round. */
  peers: { peer: string; requestId: number }[];
  /** Known once the round is confirmed: the state must be applied up to it. */
  index: number | undefined;
  leader: string;
}

export class Reads {
  readonly #ports: CoordinatorPorts;
  readonly #state: StateMachine;
  readonly #answerOf: (query: Query) => unknown;
  #queued: Waiting[] = [];
  #queuedPeers: { peer: string; requestId: number }[] = [];
  /** By ticket of the core (leader) or by id of the question (follower). */
  #rounds = new Map<number, Round>();
  #questions = new Map<number, Round>();
  #questionId = 0;
  #askAgainMs = -Infinity;
  #waiting = 0;

  constructor(ports: CoordinatorPorts, state: StateMachine, answerOf: (query: Query) => unknown) {
    this.#ports = ports;
    this.#state = state;
    this.#answerOf = answerOf;
  }

  ask(query: QueryInput, nowMs: number): void {
    if (query.consistency === 'stale') {
      this.#answer(query);
      return;
    }
    if (this.#waiting >= QUERIES_WAITING_MAX) {
      this.#fail(query, new DistricError('QUEUE_FULL', 'too many reads wait for the leader'));
      return;
    }
    this.#waiting++;
    this.#queued.push({ query, sinceMs: nowMs });
  }

  askedByPeer(peer: string, requestId: number): void {
    if (this.#queuedPeers.length >= QUERIES_WAITING_MAX) this.#refusePeer(peer, requestId);
    else this.#queuedPeers.push({ peer, requestId });
  }

  /** Once a turn: begins one round for everything asked since the last. */
  startRound(raft: Raft, nowMs: number): void {
    if (this.#queued.length === 0 && this.#queuedPeers.length === 0) return;
    if (raft.role === 'leader') this.#startOwnRound(raft);
    else this.#askLeader(raft.leaderId, nowMs);
  }

  #startOwnRound(raft: Raft): void {
    const ticket = raft.readIndex();
    // Before the first commit of its term a leader does not know what is committed: the reads stay queued.
    if (ticket === undefined) return;
    this.#rounds.set(ticket, { queries: this.#queued, peers: this.#queuedPeers, index: undefined, leader: '' });
    this.#queued = [];
    this.#queuedPeers = [];
  }

  #askLeader(leader: string | undefined, nowMs: number): void {
    for (const { peer, requestId } of this.#queuedPeers) this.#refusePeer(peer, requestId);
    this.#queuedPeers = [];
    if (leader === undefined || this.#queued.length === 0 || nowMs < this.#askAgainMs) return;
    this.#questionId++;
    const asked = this.#ports.send(leader, { kind: 'READ_INDEX', body: { requestId: this.#questionId } });
    // Out of reach: they stay queued, and time out if that lasts.
    if (!asked) return;
    this.#questions.set(this.#questionId, { queries: this.#queued, peers: [], index: undefined, leader });
    this.#queued = [];
  }

  /** The core confirmed (or lost) the round of this ticket. */
  roundDone(ticket: number, index: number | undefined): void {
    const round = this.#rounds.get(ticket);
    if (round === undefined) return;
    if (index === undefined) {
      this.#rounds.delete(ticket);
      this.#requeue(round);
      for (const { peer, requestId } of round.peers) this.#refusePeer(peer, requestId);
      return;
    }
    round.index = index;
    for (const { peer, requestId } of round.peers) {
      this.#ports.send(peer, { kind: 'READ_INDEX_RESPONSE', body: { requestId, ok: true, index } });
    }
  }

  /** Counts from whom it was asked of only: workers share the port, and confirm nothing. */
  peerAnswered(from: string, body: Body<'READ_INDEX_RESPONSE'>, nowMs: number): void {
    const round = this.#questions.get(body.requestId);
    if (round?.leader !== from) return;
    if (body.ok) round.index = body.index;
    else {
      this.#questions.delete(body.requestId);
      this.#requeue(round);
      this.#askAgainMs = nowMs + ASK_AGAIN_MS;
    }
  }

  leaderChanged(leader: string | undefined): void {
    this.#askAgainMs = -Infinity;
    for (const [id, round] of this.#questions) {
      if (round.leader === leader || round.index !== undefined) continue;
      this.#questions.delete(id);
      this.#requeue(round);
    }
  }

  /** What `peer` was asked will not be answered, and what it asked nobody waits for: its next life counts from the start. */
  peerLost(peer: string): void {
    this.#queuedPeers = this.#queuedPeers.filter((asked) => asked.peer !== peer);
    for (const round of this.#rounds.values()) round.peers = round.peers.filter((asked) => asked.peer !== peer);
    for (const [id, round] of this.#questions) {
      if (round.leader !== peer || round.index !== undefined) continue;
      this.#questions.delete(id);
      this.#requeue(round);
    }
  }

  /** Answers what can be answered at the applied index, and gives up on what waited too long. */
  serve(raft: Raft, nowMs: number): void {
    for (const rounds of [this.#rounds, this.#questions]) {
      for (const [id, round] of rounds) {
        if (round.index !== undefined && round.index <= this.#state.appliedIndex) {
          rounds.delete(id);
          this.#waiting -= round.queries.length;
          for (const { query } of round.queries) this.#answer(query);
        } else if (round.queries.length > 0 && round.queries.every((waiting) => this.#expired(waiting, nowMs))) {
          // A round that only peers asked for stays until it is confirmed or lost: they keep the time themselves.
          rounds.delete(id);
          this.#requeue(round);
          for (const { peer, requestId } of round.peers) this.#refusePeer(peer, requestId);
        }
      }
    }
    if (this.#queued.length === 0) return;
    this.#queued = this.#queued.filter((waiting) => {
      if (!this.#expired(waiting, nowMs)) return true;
      this.#waiting--;
      const why = raft.leaderId === undefined ? 'no leader is known' : `the leader ${raft.leaderId} does not answer`;
      this.#fail(waiting.query, new DistricError('NO_LEADER', `${why}; ?consistency=stale reads what this node has`));
      return false;
    });
  }

  #expired({ sinceMs }: Waiting, nowMs: number): boolean {
    return nowMs - sinceMs >= READ_TIMEOUT_MS;
  }

  #requeue(round: Round): void {
    this.#queued = [...round.queries, ...this.#queued];
  }

  #refusePeer(peer: string, requestId: number): void {
    this.#ports.send(peer, { kind: 'READ_INDEX_RESPONSE', body: { requestId, ok: false, index: 0 } });
  }

  #answer({ requestId, query }: QueryInput): void {
    const appliedIndex = this.#state.appliedIndex;
    try {
      const result = this.#answerOf(query);
      this.#ports.reply({ kind: 'answered', requestId, outcome: { result, appliedIndex } });
    } catch (error) {
      if (!(error instanceof DistricError)) throw error;
      this.#ports.reply({ kind: 'answered', requestId, outcome: { error } });
    }
  }

  #fail({ requestId }: QueryInput, error: DistricError): void {
    this.#ports.reply({ kind: 'answered', requestId, outcome: { error } });
  }
}
