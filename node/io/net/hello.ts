import { identityUri, type Identity } from '../../../api/identity.ts';
import type { Body, Lane } from '../../core/tlv/messages.ts';
import { agreedVersion, VERSIONS } from './features.ts';
import type { CertificateRefusal } from './transport.ts';

export type Role = 'coordinator' | 'worker';

export interface Self {
  readonly nodeId: string;
  readonly role: Role;
  readonly clusterName: string;
  /** Of a coordinator: which disk it has. */
  readonly dataUuid?: string;
  /** Of a coordinator: the id of its cluster, empty until it knows it. */
  readonly clusterId?: () => string;
  /** Of a worker: new at each start of its process. */
  readonly session?: string;
}

export type HelloBody = Body<'HELLO'>;

/** Why a connection is refused; travels in GOAWAY, and is counted and logged under this name. */
export type Refusal =
  | CertificateRefusal
  | 'bad_hello'
  | 'certificate_of_another_node'
  | 'id_in_use'
  | 'not_a_coordinator'
  | 'other_cluster_id'
  | 'self_connection'
  | 'unexpected_lane'
  | 'unexpected_node'
  | 'unknown_coordinator'
  | 'unsupported_version'
  | 'wrong_cluster';

/** What is known of the other end before it says HELLO. */
export interface Expectations {
  /** As the dialer was told. */
  readonly nodeId?: string | undefined;
  /** As its certificate proves. */
  readonly identity?: Identity | undefined;
  /** The coordinators of the cluster: no other node may say it is one. */
  readonly coordinatorIds?: ReadonlySet<string> | undefined;
  /** That list may be behind the cluster's: coordinators that are not in it are let in. */
  readonly strangers?: boolean | undefined;
}

const NODE_ID_CHARS_MAX = 253;

export function helloOf(self: Self, lane: Lane, features: readonly string[]): HelloBody {
  const { nodeId, role, clusterName, dataUuid, session } = self;
  const clusterId = self.clusterId?.() ?? '';
  const known = {
    ...(dataUuid === undefined ? {} : { dataUuid }),
    ...(clusterId === '' ? {} : { clusterId }),
    ...(session === undefined ? {} : { session }),
  };
  return { nodeId, role, clusterName, lane, features, versionMin: VERSIONS.min, versionMax: VERSIONS.max, ...known };
}

export function isLane(value: string): value is Lane {
  return value === 'control' || value === 'bulk';
}

export function isRole(value: string): value is Role {
  return value === 'coordinator' || value === 'worker';
}

/** For the log: the identity that a certificate proved, where there is one. */
export function certified({ identity }: { readonly identity: Identity | undefined }): { certificate?: string } {
  return identity === undefined ? {} : { certificate: identityUri(identity) };
}

/** Undefined when `hello` is fine. The cluster comes first: the ids of another cluster mean nothing here. */
export function helloRefusal(self: Self, hello: HelloBody, expected: Expectations = {}): Refusal | undefined {
  const { nodeId, role, clusterName } = hello;
  if (agreedVersion(hello) === undefined) return 'unsupported_version';
  if (!isLane(hello.lane) || !isRole(role)) return 'bad_hello';
  if (nodeId === '' || nodeId.length > NODE_ID_CHARS_MAX) return 'bad_hello';
  if (clusterName !== self.clusterName) return 'wrong_cluster';
  const ownId = self.clusterId?.() ?? '';
  if (hello.clusterId !== undefined && ownId !== '' && hello.clusterId !== ownId) return 'other_cluster_id';
  if (expected.identity !== undefined && expected.identity.role !== role) return 'certificate_of_another_role';
  if (expected.identity !== undefined && expected.identity.name !== nodeId) return 'certificate_of_another_node';
  if (nodeId === self.nodeId) return 'self_connection';
  if (expected.nodeId !== undefined && nodeId !== expected.nodeId) return 'unexpected_node';
  const isListed = expected.coordinatorIds?.has(nodeId);
  if (role === 'coordinator' && isListed === false && expected.strangers !== true) return 'unknown_coordinator';
  // Under the id of a coordinator nobody else is let in: it would be taken for that one.
  if (role !== 'coordinator' && isListed === true) return 'not_a_coordinator';
  return undefined;
}

/** As `helloRefusal`, for a client: it has one connection, and may leave the cluster open. */
export function clientRefusal(self: Self, hello: HelloBody, identity?: Identity): Refusal | undefined {
  if (agreedVersion(hello) === undefined) return 'unsupported_version';
  if (hello.lane !== 'bulk' || hello.nodeId === '' || hello.nodeId.length > NODE_ID_CHARS_MAX) return 'bad_hello';
  if (hello.clusterName !== '' && hello.clusterName !== self.clusterName) return 'wrong_cluster';
  // The name of a client is its own choice; a node's certificate is not for clients.
  if (identity !== undefined && identity.role !== 'client' && identity.role !== 'operator') {
    return 'certificate_of_another_role';
  }
  return undefined;
}
