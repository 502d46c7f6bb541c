import { Random } from '../../base/random.ts';
import { Counters } from './counters.ts';
import { EventQueue } from './event-queue.ts';
import type { Plan } from './plan.ts';
import { SimNetwork } from './sim-network.ts';
import { Trace } from './trace.ts';

/** What everything in one simulation shares. Each purpose has a random stream of its own. */
export interface World {
  seed: number;
  plan: Plan;
  queue: EventQueue;
  trace: Trace;
  counters: Counters;
  network: SimNetwork;
}

export function makeWorld(seed: number, plan: Plan, print?: (line: string) => void): World {
  const queue = new EventQueue();
  const trace = new Trace(queue, print);
  const counters = new Counters();
  const network = new SimNetwork(queue, Random.stream(seed, 'network'), trace, counters, plan.network);
  return { seed, plan, queue, trace, counters, network };
}
