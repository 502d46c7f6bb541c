/** The simulations by name. Each is loaded when it is wanted: a bug is planted before that. */
import type { Simulated } from './outcome.ts';

export type SimulationName = 'cluster' | 'swim';

export async function loadSimulation(name: SimulationName): Promise<Simulated> {
  return name === 'swim' ? (await import('./swim/swim-seed.ts')).SWIM : (await import('./run-seeds.ts')).CLUSTER;
}
