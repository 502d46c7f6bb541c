/** What must hold once everything has come to rest: asked of every coordinator, by its content and its answers. */
import { ANCHOR_KEY, META_KEY } from '../../core/state/keys.ts';
import { nodeHost } from '../../io/host.ts';
import type { QueryOutcome } from '../../requests.ts';
import type { SimCoordinator } from '../sim-coordinator.ts';
import { demand } from '../violation.ts';
import type { History, Submission } from './history.ts';

interface MessageAnswer {
  payload: { n: number };
  instances: { id: string; workflow: string; status: string }[];
}

export function checkContent(nodes: readonly SimCoordinator[]): void {
  const digests = nodes.map((node) => {
    const state = node.coordinator?.state;
    let digest = 0;
    for (const { key, value } of state?.reader.range('', '~') ?? []) {
      if (key !== META_KEY && key !== ANCHOR_KEY) digest = nodeHost.crc32(value, nodeHost.crc32(key, digest));
    }
    return { id: node.id, digest, hash: state?.hash, index: state?.appliedIndex };
  });
  const first = digests[0];
  for (const one of digests) {
    demand(one.digest === first?.digest && one.index === first.index, 'replicaContent', () => JSON.stringify(digests));
    demand(one.hash === first?.hash, 'stateHash', () => JSON.stringify(digests));
  }
}

/** Everything a client was told stands at `node`, unless retention has deleted it, and nothing else. */
export function checkHistory(node: SimCoordinator, history: History): void {
  const byMarker = messagesByMarker(node);
  for (const { id, marker } of history.sweptMessages) byMarker.set(marker, [...(byMarker.get(marker) ?? []), id]);
  for (const submission of history.submissions) {
    const kept = byMarker.get(submission.marker) ?? [];
    checkSubmission(node, submission, kept);
  }
  for (const { id, submission } of history.acknowledged) {
    if (history.isSwept(id)) continue;
    const answer = messageOf(node, id);
    demand(answer?.payload.n === submission.marker, 'acknowledgedKept', () => `${node.id} does not have message ${id}`);
    const instances = answer?.instances ?? [];
    const told =
      submission.key === undefined || submission.accepted?.messageId === id ? submission.accepted : undefined;
    if (told === undefined || told.messageId !== id) continue;
    // Those that are left are the first.
    const left = told.instances.filter((instance) => !history.isSwept(instance));
    demand(instances.map((one) => one.id).join() === left.join(), 'outcomeTold', () => {
      return `message ${id} was told with ${left.join()} and has ${JSON.stringify(instances)}`;
    });
    const workflows = told.workflows.slice(0, left.length);
    demand(instances.map((one) => one.workflow).join() === workflows.join(), 'outcomeTold', () => {
      return `message ${id} was told with ${told.workflows.join()} and has ${JSON.stringify(instances)}`;
    });
    for (const { id: instance, status } of instances) {
      demand(status !== 'RUNNING', 'progress', () => `instance ${instance} still runs`);
    }
  }
}

function checkSubmission(node: SimCoordinator, submission: Submission, kept: readonly string[]): void {
  const { key, acceptedCount, unknownCount, marker } = submission;
  const describe = (): string =>
    `message ${marker} (${String(key)}) was kept at ${node.id} as ${kept.join() || 'nothing'}`;
  if (key === undefined) {
    demand(kept.length >= acceptedCount, 'acknowledgedKept', describe);
    demand(kept.length <= acceptedCount + unknownCount, 'refusedNotKept', describe);
    return;
  }
  demand(kept.length <= 1, 'oneMessagePerKey', describe);
  if (acceptedCount > 0) demand(kept[0] === submission.accepted?.messageId, 'acknowledgedKept', describe);
  else if (unknownCount === 0) demand(kept.length === 0, 'refusedNotKept', describe);
}

function messagesByMarker(node: SimCoordinator): Map<number, string[]> {
  const byMarker = new Map<number, string[]>();
  for (const item of node.coordinator?.state.messages.newestFirst(undefined) ?? []) {
    const { n } = JSON.parse(nodeHost.readText(item.payload, 0, item.payload.length)) as MessageAnswer['payload'];
    const ids = byMarker.get(n) ?? [];
    ids.push(item.id);
    byMarker.set(n, ids);
  }
  return byMarker;
}

function messageOf(node: SimCoordinator, id: string): MessageAnswer | undefined {
  let answer: QueryOutcome | undefined;
  node.call((gateway) => gateway.query({ kind: 'message', id }, 'stale', (outcome) => (answer = outcome)));
  node.turnNow();
  return answer !== undefined && 'result' in answer ? (answer.result as MessageAnswer) : undefined;
}
