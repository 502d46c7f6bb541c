import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { parseGossipKeys, type GossipKeys } from '../../../api/gossip-keys.ts';
import { DistricError } from '../../../base/errors.ts';
import type { NetLog } from './net-metrics.ts';

/** By polling: what Kubernetes mounts changes behind a symbolic link, which file events do not show. */
const POLL_MS = 2_000;

/** Reads a key file. Throws DistricError INVALID_DOCUMENT, also when there is no such file. */
export function readKeyFile(path: string): GossipKeys {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DistricError('INVALID_DOCUMENT', `the key file cannot be read: ${reason}`);
  }
  return parseGossipKeys(text);
}

export interface KeyFileWatch {
  close(): void;
}

/** Hands over each new content that is right; what is wrong is logged, and the keys before it stay in use. */
export function watchKeyFile(
  path: string,
  onKeys: (keys: GossipKeys) => void,
  log: NetLog,
  pollMs = POLL_MS,
): KeyFileWatch {
  const changed = (): void => {
    try {
      const keys = readKeyFile(path);
      onKeys(keys);
      log.info({ primary: keys.primary.id, keys: keys.byId.size }, 'gossip keys loaded');
    } catch (error) {
      if (!(error instanceof DistricError)) throw error;
      log.warn({ reason: error.message }, 'gossip keys kept: the new key file is wrong');
    }
  };
  watchFile(path, { interval: pollMs, persistent: false }, changed);
  return { close: () => unwatchFile(path, changed) };
}
