/** The coordinators of one cluster: what each says of itself, what its leader says, and orders for them. */
import type { ClusterStatus, MemberList } from '../../api/rest.ts';
import type { NodeView, PodView, RaftView } from '../planner/model.ts';
import { REST_PORT } from '../planner/names.ts';
import { type NodeAccess, NodeClient, NodeError } from './node-client.ts';

export class ClusterLink {
  readonly #client: NodeClient;
  /** Of pods that are there; their addresses are asked for at each look, never remembered. */
  #addresses = new Map<string, string>();
  #leader: string | undefined;

  constructor(access: NodeAccess) {
    this.#client = new NodeClient(access);
  }

  close(): void {
    this.#client.close();
  }

  /** Asks all coordinators at once; who does not answer is left out. */
  async look(pods: readonly PodView[]): Promise<{ nodes: Map<string, NodeView>; raft: RaftView | undefined }> {
    this.#addresses = new Map(
      pods.flatMap(({ name, ip, role }) => (ip === undefined || role !== 'coordinator' ? [] : [[name, ip]])),
    );
    const answers = await Promise.all(
      [...this.#addresses.keys()].map(async (node): Promise<[string, ClusterStatus | undefined]> => {
        const status = this.ask<ClusterStatus>(node, 'GET', '/cluster/status?consistency=stale');
        return [node, await status.catch(() => undefined)];
      }),
    );
    const nodes = new Map<string, NodeView>();
    let leading: ClusterStatus | undefined;
    for (const [node, status] of answers) {
      if (status === undefined) continue;
      nodes.set(node, nodeView(status));
      // Two may think that they lead for a while: the newer term is right.
      if (status.leader === node && status.term > (leading?.term ?? -1)) leading = status;
    }
    this.#leader = leading?.leader ?? undefined;
    return { nodes, raft: leading === undefined ? undefined : await this.#raftView(leading) };
  }

  /** Undefined while it has no quorum: a leader that is cut off does not answer a linearizable read. */
  async #raftView(status: ClusterStatus): Promise<RaftView | undefined> {
    const list = await this.ask<MemberList>(status.answered_by, 'GET', '/cluster/members').catch(() => undefined);
    return list === undefined || status.cluster_id === '' ? undefined : raftView(status, list);
  }

  /** Whether the leader of the last look still leads. */
  async hasLeader(): Promise<boolean> {
    const leader = this.#leader;
    if (leader === undefined) return false;
    const status = await this.ask<ClusterStatus>(leader, 'GET', '/cluster/status?consistency=stale').catch(
      () => undefined,
    );
    return status?.leader === leader;
  }

  ask<T>(node: string, method: string, path: string, body?: unknown): Promise<T> {
    const address = this.#addresses.get(node);
    if (address === undefined) return Promise.reject(new NodeError(0, 'UNREACHABLE', `${node} has no address yet`));
    return this.#client.ask<T>(address, REST_PORT, method, path, body);
  }

  /** Of the leader, as of the last look. Rejects with NO_LEADER. */
  lead<T>(method: string, path: string, body?: unknown): Promise<T> {
    if (this.#leader === undefined)
      return Promise.reject(new NodeError(503, 'NO_LEADER', 'no coordinator in reach leads'));
    return this.ask<T>(this.#leader, method, path, body);
  }
}

function nodeView(status: ClusterStatus): NodeView {
  return {
    standing: status.standing ?? 'member',
    dataUuid: status.data_uuid,
    clusterId: status.cluster_id,
    leader: status.leader ?? undefined,
    appliedIndex: status.applied_index,
  };
}

function raftView(status: ClusterStatus, list: MemberList): RaftView {
  const states = new Map(status.coordinators.map((coordinator) => [coordinator.id, coordinator]));
  return {
    leader: status.answered_by,
    term: status.term,
    clusterId: status.cluster_id,
    catalogVersion: status.catalog_version,
    appliedIndex: status.applied_index,
    isChanging: list.changing,
    members: list.members.map(({ id, role, data_uuid, lag, returning }) => ({
      id,
      role: returning === true ? 'leaving' : role,
      dataUuid: data_uuid,
      lag,
      isActive: states.get(id)?.state !== 'unreachable',
      storageShare: states.get(id)?.storage?.share,
    })),
    workers: status.workers.map(({ id, status: state, running, capacity }) => ({
      id,
      status: state,
      running,
      capacity,
    })),
    queuedTasks: status.counts.tasks_ready,
    runningTasks: status.counts.tasks_running,
  };
}
