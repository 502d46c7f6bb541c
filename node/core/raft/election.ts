/**
 * Elections: PreVote (Raft dissertation §9.6), votes (Raft §5.2, §5.4.1), and the election a leader asks for when it
 * hands its leadership on (dissertation §3.10).
 *
 * Invariants
 * 1. A vote is weighed against the whole log, flushed or not, and given once per term.
 * 2. While a leader is heard from, nobody helps to replace it but itself (§4.2.3): a returning or removed node disturbs
 *    nothing.
 * 3. Votes count only as the membership says: those of learners and of strangers never decide. A learner gives its vote
 *    when asked: the candidate may know of its promotion already.
 */
import type { Body } from '../tlv/messages.ts';
import type { Replica } from './replica.ts';

export class Elections {
  readonly #replica: Replica;
  readonly #won: () => void;
  readonly #votes = new Set<string>();
  #preVoting = false;
  #deadlineMs = 0;
  #leaderContactMs = -Infinity;

  constructor(replica: Replica, won: () => void) {
    this.#replica = replica;
    this.#won = won;
    this.resetTimer();
    // A lone voter has nobody to wait for.
    if (replica.isVoter && replica.quorum(() => false)) this.#deadlineMs = replica.nowMs;
  }

  tick(): void {
    if (this.#replica.nowMs >= this.#deadlineMs) this.#startPreVote();
  }

  /** A write is on disk. The vote of a lone voter counts only then: in a term it may forget it must tell learners nothing. */
  persisted(): void {
    const { role, outbox } = this.#replica;
    if (role === 'candidate' && !this.#preVoting && this.#votedIn && outbox.hardStateFlushed) this.#won();
  }

  /** A leader of the current term spoke. */
  heardLeader(): void {
    this.#leaderContactMs = this.#replica.nowMs;
    this.resetTimer();
  }

  followed(wasLeader: boolean): void {
    this.#preVoting = false;
    this.#votes.clear();
    // A leader's own deadline is from before it led: without a new one it would campaign at once against its successor.
    if (wasLeader) this.resetTimer();
  }

  resetTimer(): void {
    const { config, random, nowMs } = this.#replica;
    this.#deadlineMs = nowMs + random.integer(config.electionMsMin, config.electionMsMax);
  }

  get #votedIn(): boolean {
    return this.#replica.quorum((id) => this.#votes.has(id));
  }

  #startPreVote(): void {
    const replica = this.#replica;
    this.resetTimer();
    replica.leaderId = undefined;
    if (!replica.mayCampaign) return;
    replica.role = 'candidate';
    this.#preVoting = true;
    this.#votes.clear();
    if (this.#votedIn) {
      this.#startElection(false);
      return;
    }
    const body = this.#voteRequest(replica.term + 1);
    for (const to of replica.peers) replica.outbox.send(to, { kind: 'PRE_VOTE', body });
  }

  /** `transfer`: the leader itself asked for it, so that nobody need wait until it has been silent. */
  #startElection(transfer: boolean): void {
    const replica = this.#replica;
    this.resetTimer();
    replica.campaign();
    replica.leaderId = undefined;
    this.#preVoting = false;
    this.#votes.clear();
    // The own vote must be on disk before anybody else's can make a majority with it, or it decides alone (`persisted`).
    for (const to of replica.peers) {
      const body = { ...this.#voteRequest(replica.term), ...(transfer ? { transfer } : {}) };
      replica.outbox.hold(to, { kind: 'REQUEST_VOTE', body });
    }
  }

  #voteRequest(term: number): Body<'REQUEST_VOTE'> {
    const { lastIndex, lastTerm } = this.#replica.log;
    return { term, candidateId: this.#replica.nodeId, lastLogIndex: lastIndex, lastLogTerm: lastTerm };
  }

  /** §5.4.1: a later last term wins; at the same term the longer log. */
  #upToDate(request: Body<'REQUEST_VOTE'>): boolean {
    const { log } = this.#replica;
    if (request.lastLogTerm !== log.lastTerm) return request.lastLogTerm > log.lastTerm;
    return request.lastLogIndex >= log.lastIndex;
  }

  /** Nobody with an empty log can lead a cluster that is there already, as this node was told it is. */
  #isBirth(request: Body<'REQUEST_VOTE'>): boolean {
    return this.#replica.standsBack && request.lastLogIndex === 0;
  }

  /** Itself included. */
  hearsLeader(): boolean {
    const { role, leaderId, nowMs, config } = this.#replica;
    if (role === 'leader') return true;
    return leaderId !== undefined && nowMs - this.#leaderContactMs < config.electionMsMin;
  }

  onPreVote(from: string, request: Body<'PRE_VOTE'>): void {
    const { term, outbox } = this.#replica;
    const granted = request.term > term && this.#upToDate(request) && !this.hearsLeader();
    // The refusal carries our term, so that a node left behind learns it; a grant echoes the term asked for.
    if (granted) outbox.send(from, { kind: 'PRE_VOTE_RESPONSE', body: { term: request.term, granted } });
    else outbox.hold(from, { kind: 'PRE_VOTE_RESPONSE', body: { term, granted } });
  }

  onPreVoteResponse(from: string, answer: Body<'PRE_VOTE_RESPONSE'>): void {
    const replica = this.#replica;
    if (!answer.granted) {
      if (answer.term > replica.term) replica.follow(answer.term, undefined);
      return;
    }
    if (!this.#preVoting || answer.term !== replica.term + 1) return;
    this.#votes.add(from);
    if (this.#votedIn) this.#startElection(false);
  }

  onRequestVote(from: string, request: Body<'REQUEST_VOTE'>): void {
    const replica = this.#replica;
    if (request.term > replica.term) {
      if (this.hearsLeader() && request.transfer !== true) return;
      replica.follow(request.term, undefined);
    }
    const granted =
      request.term === replica.term &&
      (replica.votedFor === null || replica.votedFor === request.candidateId) &&
      replica.role !== 'leader' &&
      !this.#isBirth(request) &&
      this.#upToDate(request);
    if (granted) {
      replica.vote(request.candidateId);
      this.resetTimer();
    }
    replica.outbox.hold(from, { kind: 'REQUEST_VOTE_RESPONSE', body: { term: replica.term, granted } });
  }

  onRequestVoteResponse(from: string, answer: Body<'REQUEST_VOTE_RESPONSE'>): void {
    const replica = this.#replica;
    if (answer.term > replica.term) {
      replica.follow(answer.term, undefined);
      return;
    }
    if (replica.role !== 'candidate' || this.#preVoting || answer.term !== replica.term || !answer.granted) return;
    this.#votes.add(from);
    if (this.#votedIn) this.#won();
  }

  /** The leader of this very term hands over; one of an earlier term has nothing left to give. */
  onTimeoutNow(from: string, { term }: Body<'TIMEOUT_NOW'>): void {
    const { role, leaderId, mayCampaign } = this.#replica;
    if (from !== leaderId || term !== this.#replica.term || role === 'leader' || !mayCampaign) return;
    this.#startElection(true);
  }
}
