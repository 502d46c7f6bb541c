/** What nodes tell of themselves by gossip, as far as others act upon it. */
import type { MemberView } from '../core/swim/swim-ports.ts';
import type { NodeEventSource } from '../io/http/events.ts';
import type { GossipDriver } from '../io/net/gossip-driver.ts';
import { EVENT_NAMES, nodeResource } from '../node-resource.ts';

/** For those who listen over REST. */
export function eventSource(gossip: GossipDriver): NodeEventSource {
  return (listener) => {
    gossip.listen({
      event: ({ kind, member }) => {
        listener({ event: EVENT_NAMES[kind], at: new Date().toISOString(), node: nodeResource(member) });
      },
    });
  };
}

interface LeaderHint {
  id: string;
  term: number;
}

/** Peer addresses of the coordinators that are there, but for that of `selfId`. */
export function coordinatorsIn(members: readonly MemberView[], selfId: string): string[] {
  const others = members.filter((member) => member.id !== selfId && isLivingCoordinator(member));
  return others.flatMap(({ details }) => details?.peerAddress ?? []);
}

/** The coordinator that says it leads, in the highest term. */
export function leaderIn(members: readonly MemberView[]): LeaderHint | undefined {
  let hint: LeaderHint | undefined;
  for (const member of members) {
    if (!isLivingCoordinator(member) || member.details?.raftState !== 'leader') continue;
    const term = member.details.raftTerm ?? 0;
    if (hint === undefined || term > hint.term) hint = { id: member.id, term };
  }
  return hint;
}

function isLivingCoordinator({ status, details }: MemberView): boolean {
  return (status === 'alive' || status === 'suspected') && details?.role === 'coordinator';
}
