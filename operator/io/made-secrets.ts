/** Secrets of random content. */
import { randomBytes } from 'node:crypto';
import { newJoinSecret } from '../../pki/join-token.ts';
import type { KubeObject, MadeSecret } from '../planner/model.ts';
import { labelsOf, type Owner, ownedMetadata } from '../planner/names.ts';

const CONTENT: Record<MadeSecret, () => Record<string, string>> = {
  admin: () => ({ 'admin.key': `dk_bootstrap_${randomBytes(32).toString('base64url')}\n` }),
  join: () => ({ 'join.secret': newJoinSecret() }),
  gossip: () => ({ 'gossip.yaml': `- { id: 1, key: ${randomBytes(32).toString('base64')} }\n` }),
};

export function madeSecret(owner: Owner, kind: MadeSecret, name: string): KubeObject {
  const metadata = ownedMetadata(owner, name, labelsOf(owner.name));
  return { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', stringData: CONTENT[kind]() };
}
