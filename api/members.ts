/** The requests that change the members of the cluster. */
import { type Static, Type } from 'typebox';
import { CLOSED } from './common-schema.ts';
import { compileParse, refuseFaults } from './validation.ts';

const MemberId = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
  description: 'a name of 1 to 63 letters, digits, ".", "_" or "-"',
});
const MemberAddress = Type.String({
  pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}$',
  description: 'an address, "host:port"',
});

/** Body of `POST /cluster/members`. */
const NewMemberSchema = Type.Object(
  { id: MemberId, address: MemberAddress, http_address: Type.Optional(MemberAddress) },
  CLOSED,
);
/** Of `POST /cluster/members/promote` and `/remove`: one or several in one step. */
const MemberIdsSchema = Type.Object({ ids: Type.Array(MemberId, { minItems: 1, maxItems: 7 }) }, CLOSED);
/**
 * Of `POST /cluster/members/{id}/replace`: `with` is a learner that takes its place; without it the member comes back
 * with a new disk under its own id, at its address or at another one.
 */
const ReplacementSchema = Type.Object(
  {
    with: Type.Optional(MemberId),
    address: Type.Optional(MemberAddress),
    http_address: Type.Optional(MemberAddress),
  },
  CLOSED,
);
/** Of `POST /cluster/leader`; without a target the voter that has most of the log leads. */
const LeaderRequestSchema = Type.Object({ target: Type.Optional(MemberId) }, CLOSED);

/** Of `POST /cluster/bootstrap`: for a coordinator that waits to be added, which is to found the cluster `cluster_id`. */
const FoundingSchema = Type.Object(
  {
    cluster_id: Type.String({ pattern: '^[0-9a-f-]{36}$', description: 'a UUID' }),
    data_uuid: Type.String({ pattern: '^[0-9a-f-]{36}$', description: 'a UUID' }),
    address: MemberAddress,
    http_address: Type.Optional(MemberAddress),
    min_voters: Type.Optional(Type.Integer({ minimum: 1, maximum: 7 })),
  },
  CLOSED,
);

const checkFounding = compileParse(FoundingSchema);
const checkNewMember = compileParse(NewMemberSchema);
const checkMemberIds = compileParse(MemberIdsSchema);
const checkReplacement = compileParse(ReplacementSchema);
const checkLeaderRequest = compileParse(LeaderRequestSchema);

function refusePortless(what: string, addresses: Record<string, string | undefined>): void {
  const faults = Object.entries(addresses).flatMap(([field, address]) => {
    const port = address === undefined ? 1 : Number(address.slice(address.lastIndexOf(':') + 1));
    return port >= 1 && port <= 65_535 ? [] : [{ field, reason: 'needs a port from 1 to 65535' }];
  });
  refuseFaults(what, faults);
}

/** Throws INVALID_DOCUMENT, as the others below. */
export function parseNewMember(input: unknown): Static<typeof NewMemberSchema> {
  const member = checkNewMember('the member', input);
  refusePortless('the member', { address: member.address, http_address: member.http_address });
  return member;
}

export function parseMemberIds(input: unknown): readonly string[] {
  return checkMemberIds('the request', input).ids;
}

export function parseReplacement(input: unknown): Static<typeof ReplacementSchema> {
  const replacement = checkReplacement('the replacement', input);
  const { with: other, address, http_address } = replacement;
  refusePortless('the replacement', { address, http_address });
  if (other !== undefined && (address !== undefined || http_address !== undefined)) {
    refuseFaults('the replacement', [{ field: 'with', reason: 'is a learner, whose addresses are known already' }]);
  }
  return replacement;
}

export function parseFounding(input: unknown): Static<typeof FoundingSchema> {
  const founding = checkFounding('the founding', input);
  refusePortless('the founding', { address: founding.address, http_address: founding.http_address });
  return founding;
}

export function parseLeaderRequest(input: unknown): Static<typeof LeaderRequestSchema> {
  return checkLeaderRequest('the request', input);
}
