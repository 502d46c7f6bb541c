/**
 * What to do for one DistricCluster, from what is asked and what is there: level-based, so nothing depends on how it came
 * to be so. Steps are in the order in which they are safe; one that blocks keeps back those after it.
 */
import { coordinatorReplicas, frozenTemplate, statefulSet } from './coordinators.ts';
import { founding } from './founding.ts';
import { membership } from './members.ts';
import type { Observed, Plan, Step } from './model.ts';
import { monitoring } from './monitoring.ts';
import { ownerOf } from './names.ts';
import { foundations } from './objects.ts';
import { coordinatorTemplate } from './pod-template.ts';
import { brokenFirst, roller } from './roller.ts';
import { statusOf } from './status.ts';
import { credentials } from './tls.ts';
import { leftoverVolumes, volumes } from './volumes.ts';
import { workers } from './workers.ts';

/** While something is under way, and at rest: certificates run out and queues fill without an event. */
const BUSY_MS = 2_000;
const REST_MS = 30_000;

type Concern = (observed: Observed) => Step;

export function plan(observed: Observed): Plan {
  const { managementPolicy } = observed.spec;
  const steps = managementPolicy === 'Paused' ? [] : stepsOf(observed, concernsOf(observed));
  const isBusy = steps.some(({ doing, stalled }) => doing !== undefined || stalled !== undefined);
  return {
    actions: steps.flatMap(({ actions }) => actions),
    status: statusOf(observed, steps),
    requeueMs: isBusy ? BUSY_MS : REST_MS,
  };
}

function concernsOf(observed: Observed): Concern[] {
  if (observed.spec.managementPolicy === 'Hibernated') return [foundations, workers, asleep];
  const { hash } = frozenTemplate(
    coordinatorTemplate(ownerOf(observed), observed.spec, observed.defaultImage),
    observed.statefulSet,
  );
  return [
    credentials,
    foundations,
    volumes,
    statefulSet,
    monitoring,
    (seen) => brokenFirst(seen, hash),
    founding,
    workers,
    membership,
    leftoverVolumes,
    (seen) => roller(seen, hash),
  ];
}

function stepsOf(observed: Observed, concerns: readonly Concern[]): Step[] {
  const steps: Step[] = [];
  for (const concern of concerns) {
    const step = concern(observed);
    steps.push(step);
    if (step.isBlocking === true) break;
  }
  return steps;
}

/** Workers go first: what they were doing is handed back while there is somebody to take it. */
function asleep(observed: Observed): Step {
  if (observed.pods.some(({ role }) => role === 'worker')) return { actions: [], doing: 'workers stop' };
  const step = statefulSet(observed);
  const isDown = coordinatorReplicas(observed) === 0 && !observed.pods.some(({ role }) => role === 'coordinator');
  return isDown ? step : { ...step, doing: 'coordinators stop' };
}
