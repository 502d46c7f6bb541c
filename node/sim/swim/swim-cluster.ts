/** Members, their network, and virtual time. */
import { Random } from '../../../base/random.ts';
import { SWIM_DEFAULTS, type SwimConfig } from '../../core/swim/swim-config.ts';
import { EventQueue } from '../event-queue.ts';
import type { Envelope } from './envelope.ts';
import { SimMember, type MemberWatch } from './sim-member.ts';
import { SwimNetwork, type NetworkFaults } from './swim-network.ts';

export interface SwimClusterOptions {
  seed: number;
  size: number;
  /** Members with connections to all: coordinators. */
  hubs: number;
  faults: NetworkFaults;
  config?: Partial<SwimConfig>;
  watch: MemberWatch;
  envelope?: Envelope;
}

export class SwimCluster {
  readonly queue = new EventQueue();
  readonly random: Random;
  readonly network: SwimNetwork;
  readonly members: readonly SimMember[];
  readonly #byId: ReadonlyMap<string, SimMember>;

  constructor({ seed, size, hubs, faults, config, watch, envelope }: SwimClusterOptions) {
    this.random = Random.stream(seed, 'course');
    this.network = new SwimNetwork(this.queue, Random.stream(seed, 'network'), faults, envelope !== undefined);
    const isHubId = (id: string): boolean => id.startsWith('coordinator');
    this.members = Array.from({ length: size }, (_, index) => {
      const isHub = index < hubs;
      return new SimMember({
        id: isHub ? `coordinator-${index + 1}` : `worker-${index - hubs + 1}`,
        address: `10.1.${index >> 8}.${index & 255}:7400`,
        isHub,
        isHubId,
        queue: this.queue,
        network: this.network,
        config: { ...SWIM_DEFAULTS, ...config },
        seed,
        watch,
        ...(envelope === undefined ? {} : { envelope }),
      });
    });
    const added: SimMember[] = [];
    for (const member of this.members) {
      this.network.add(member, added.slice(0, hubs));
      added.push(member);
    }
    this.#byId = new Map(this.members.map((member) => [member.id, member]));
  }

  get seconds(): number {
    return this.queue.nowUs / 1e6;
  }

  get(id: string): SimMember {
    const member = this.#byId.get(id);
    if (member === undefined) throw new Error(`there is no member ${id}`);
    return member;
  }

  /** All of them, spread over that time. */
  startAll(withinSeconds: number): void {
    for (const member of this.members) {
      this.queue.after(this.random.integer(0, withinSeconds * 1e6), () => member.start());
    }
  }

  run(seconds: number): void {
    const untilUs = this.queue.nowUs + seconds * 1e6;
    while (this.queue.runNext(untilUs));
  }

  /** Everybody is there, and known to everybody. */
  get isComplete(): boolean {
    const { members } = this;
    return members.every(({ isUp }) => isUp) && members.every(({ swim }) => swim.livingCount === members.length);
  }

  /** Whom a member holds for living that is not, or the other way round; `isCalm`: and suspects nobody. */
  disagreement(isCalm: boolean): string | undefined {
    for (const observer of this.members) {
      if (!observer.isUp || observer.isPaused) continue;
      for (const subject of this.members) {
        if (subject === observer || subject.isPaused) continue;
        const isAlive = observer.swim.isAlive(subject.id);
        const isLiving = observer.swim.isLiving(subject.id);
        if (isLiving === subject.isUp && (isAlive || !isLiving || !isCalm)) continue;
        const held = isAlive ? 'alive' : isLiving ? 'suspected' : 'gone';
        return `${observer.id} holds ${subject.id}, which is ${subject.isUp ? 'up' : 'down'}, for ${held}`;
      }
    }
    return undefined;
  }
}
