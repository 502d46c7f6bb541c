import type { Body, Lane } from '../../core/tlv/messages.ts';
import { agreedVersion, VERSIONS } from './features.ts';

export type Role = 'coordinator' | 'worker';

export interface Self {
  readonly nodeId: string;
  readonly role: Role;
  readonly clusterName: string;
}

export type HelloBody = Body<'HELLO'>;

/** Why a connection is refused; travels in GOAWAY. */
export type Refusal =
  'bad_hello' | 'unsupported_version' | 'wrong_cluster' | 'self_connection' | 'unexpected_node' | 'unexpected_lane';

const NODE_ID_CHARS_MAX = 253;

export function helloOf(self: Self, lane: Lane, features: readonly string[]): HelloBody {
  const { nodeId, role, clusterName } = self;
  return { nodeId, role, clusterName, lane, features, versionMin: VERSIONS.min, versionMax: VERSIONS.max };
}

export function isLane(value: string): value is Lane {
  return value === 'control' || value === 'bulk';
}

export function isRole(value: string): value is Role {
  return value === 'coordinator' || value === 'worker';
}

/** Undefined when `hello` is fine; `expectedNodeId` is what a dialer may know before the other end speaks. The cluster comes first: the ids of another cluster mean nothing here. */
export function helloRefusal(self: Self, hello: HelloBody, expectedNodeId?: string): Refusal | undefined {
  if (agreedVersion(hello) === undefined) return 'unsupported_version';
  if (!isLane(hello.lane) || !isRole(hello.role)) return 'bad_hello';
  if (hello.nodeId === '' || hello.nodeId.length > NODE_ID_CHARS_MAX) return 'bad_hello';
  if (hello.clusterName !== self.clusterName) return 'wrong_cluster';
  if (hello.nodeId === self.nodeId) return 'self_connection';
  if (expectedNodeId !== undefined && hello.nodeId !== expectedNodeId) return 'unexpected_node';
  return undefined;
}

/** As `helloRefusal`, for a client: it has one connection, and may leave the cluster open. */
export function clientRefusal(self: Self, hello: HelloBody): Refusal | undefined {
  if (agreedVersion(hello) === undefined) return 'unsupported_version';
  if (hello.lane !== 'bulk' || hello.nodeId === '' || hello.nodeId.length > NODE_ID_CHARS_MAX) return 'bad_hello';
  return hello.clusterName === '' || hello.clusterName === self.clusterName ? undefined : 'wrong_cluster';
}
