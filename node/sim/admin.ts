/** An operator who adds, promotes, replaces and removes members and moves the leadership about, at random. */
import { Random } from '../../base/random.ts';
import type { MembershipChange } from '../core/raft/membership.ts';
import { isJoint, members } from '../core/raft/membership.ts';
import type { Roster } from './roster.ts';
import type { SimCoordinator } from './sim-coordinator.ts';
import type { World } from './world.ts';

const CHANGE_GAP_US = 6_000_000;
/** An order is carried out, or given up, within this. */
const QUIET_US = 3_000_000;

export class Admin {
  readonly #world: World;
  readonly #roster: Roster;
  readonly #random: Random;
  #stopped = false;
  #orderedUs = 0;

  constructor(world: World, roster: Roster) {
    this.#world = world;
    this.#roster = roster;
    this.#random = Random.stream(world.seed, 'admin');
  }

  start(): void {
    if (!this.#world.plan.changesMembers) return;
    this.#world.queue.after(this.#random.integer(0, 2 * CHANGE_GAP_US), () => {
      if (this.#stopped) return;
      this.#act();
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  #act(): void {
    const { leader } = this.#roster;
    const membership = leader?.coordinator?.raft.membership;
    if (leader === undefined || membership === undefined) return;
    if (this.#random.chance(0.15) && this.#loseDisk(leader)) return;
    this.#orderedUs = this.#world.queue.nowUs;
    if (this.#random.chance(0.3)) {
      const target = this.#random.pick(membership.voters);
      this.#note(`transfer to ${target}`);
      leader.administer({ kind: 'transferLeadership', target });
      return;
    }
    const change = isJoint(membership) ? undefined : this.#change();
    if (change === undefined) return;
    this.#note(`${change.kind} ${JSON.stringify(change)}`);
    leader.administer({ kind: 'changeMembers', change });
  }

  /** A disk dies, and its machine comes back with an empty one. Never that of a member just being made a voter. */
  #loseDisk(leader: SimCoordinator): boolean {
    const node = this.#random.pick(this.#roster.nodes);
    const isQuiet = this.#world.queue.nowUs - this.#orderedUs > QUIET_US && !leader.process.paused;
    if (!isQuiet || !this.#roster.mayLoseDisk(node)) return false;
    this.#note(`${node.id} loses its disk`);
    node.loseDisk();
    this.#world.queue.after(this.#random.integer(1_000, CHANGE_GAP_US), () => {
      if (!node.process.alive) node.boot();
    });
    return true;
  }

  #note(text: string): void {
    this.#world.trace.note('', `admin: ${text}`);
  }

  #change(): MembershipChange | undefined {
    const random = this.#random;
    const membership = this.#roster.leader?.coordinator?.raft.membership;
    if (membership === undefined) return undefined;
    const { voters, learners } = membership;
    const inside = members(membership);
    const outside = this.#roster.nodes.map(({ id }) => id).filter((id) => !inside.includes(id));
    const isLost = (id: string): boolean =>
      this.#roster.nodes.some((node) => node.id === id && this.#roster.isLost(node));
    const [first, second] = shuffled(
      random,
      learners.filter((id) => !isLost(id)),
    );
    const lost = this.#roster.nodes.find((node) => this.#roster.isLost(node));
    if (lost !== undefined && random.chance(0.7)) {
      const isReplaced = first !== undefined && voters.includes(lost.id) && random.chance(0.3);
      return isReplaced ? { kind: 'replace', out: lost.id, in: first } : { kind: 'renew', id: lost.id };
    }
    const possible: MembershipChange[] = [];
    // After a disk was lost their number is even for a while.
    if (first !== undefined && voters.length % 2 === 0) possible.push({ kind: 'promote', ids: [first] });
    if (outside.length > 0) possible.push({ kind: 'addLearner', id: random.pick(outside) });
    if (first !== undefined && second !== undefined) possible.push({ kind: 'promote', ids: [first, second] });
    if (first !== undefined) possible.push({ kind: 'replace', out: random.pick(voters), in: first });
    const [out, other, ...stay] = shuffled(random, voters);
    // The leader may not have noticed yet that a disk is lost; an operator who leaves the decision to it has lost all.
    const canDecide = stay.filter((id) => !isLost(id)).length * 2 > stay.length;
    if (out !== undefined && other !== undefined && canDecide) possible.push({ kind: 'remove', ids: [out, other] });
    if (first !== undefined && random.chance(0.2)) possible.push({ kind: 'remove', ids: [first] });
    return possible.length === 0 ? undefined : random.pick(possible);
  }
}

function shuffled(random: Random, ids: readonly string[]): string[] {
  const rest = [...ids];
  const out: string[] = [];
  while (rest.length > 0) out.push(...rest.splice(random.integer(0, rest.length - 1), 1));
  return out;
}
