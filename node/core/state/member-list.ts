/** The members as REST shows them. */
import type { MemberList } from '../../../api/rest.ts';
import { isJoint, memberInfo, type Membership, members } from '../raft/membership.ts';

export function memberList(membership: Membership): MemberList {
  const { voters, learners, returning = {} } = membership;
  const listed = members(membership).map((id) => {
    const { address, httpAddress, dataUuid } = memberInfo(membership, id);
    const role = voters.includes(id)
      ? ('voter' as const)
      : learners.includes(id)
        ? ('learner' as const)
        : ('leaving' as const);
    return {
      id,
      role,
      ...(address === undefined ? {} : { address }),
      ...(httpAddress === undefined ? {} : { http_address: httpAddress }),
      ...(dataUuid === undefined ? {} : { data_uuid: dataUuid }),
      ...(Object.hasOwn(returning, id) ? { returning: true } : {}),
    };
  });
  return { members: listed, changing: isJoint(membership) };
}
