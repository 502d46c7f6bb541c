/** The configuration files of the nodes. What names other nodes is no reason to restart one: it is not in the hash. */
import type { ClusterSpec, WorkerPool } from '../../api/cluster-resource.ts';
import { quantityOf } from '../../base/quantity.ts';
import type { Json } from './model.ts';
import {
  METRICS_PORT,
  nodeNames,
  type Owner,
  PEER_PORT,
  peerAddress,
  REST_PORT,
  restAddress,
  serviceHost,
} from './names.ts';

export const CONFIG_DIR = '/etc/distric/config';
export const SECRETS_DIR = '/etc/distric/secrets';
export const TLS_DIR = '/etc/distric/tls';
export const DATA_DIR = '/data';
export const PLUGINS_DIR = '/opt/distric-plugins';

/** Shares of the volume that the two stores may take; the rest is for snapshots. */
const STATE_SHARE = 0.6;
const LOG_SHARE = 0.2;
const MAP_BYTES_MIN = 64 * 2 ** 20;
/** A coordinator hands its leadership on and answers what is in flight. */
export const COORDINATOR_DRAIN_MS = 20_000;

const listen = (port: number): Json => ({ host: '0.0.0.0', port });

function common(owner: Owner, spec: ClusterSpec): Json {
  return {
    clusterName: owner.name,
    dataDir: DATA_DIR,
    peer: listen(PEER_PORT),
    metrics: listen(METRICS_PORT),
    gossip: { keyFile: `${SECRETS_DIR}/gossip.yaml` },
    ...(spec.tls.mode === 'Disabled' ? { insecureAllowPublicListen: true } : {}),
  };
}

/** Sections of `parameters`, over those that the operator sets. */
function withParameters(config: Json, parameters: Json): Json {
  const sections = Object.entries(parameters).map(([section, given]) => [
    section,
    { ...(config[section] as Json | undefined), ...(given as Json) },
  ]);
  return { ...config, ...(Object.fromEntries(sections) as Json) };
}

/** Without `join`: what a change of restarts a coordinator. */
export function coordinatorSettings(owner: Owner, spec: ClusterSpec): Json {
  const volumeBytes = quantityOf(spec.coordinators.storage.size);
  const stateBytes =
    spec.coordinators.lmdb === undefined ? STATE_SHARE * volumeBytes : quantityOf(spec.coordinators.lmdb.mapSize);
  const config = {
    ...common(owner, spec),
    role: 'coordinator',
    http: listen(REST_PORT),
    auth: { mode: 'required', adminKeyFile: `${SECRETS_DIR}/admin.key` },
    drainTimeoutMs: COORDINATOR_DRAIN_MS,
    limits: {
      stateMapBytesMax: Math.max(MAP_BYTES_MIN, Math.floor(stateBytes)),
      logMapBytesMax: Math.max(MAP_BYTES_MIN, Math.floor(Math.min(LOG_SHARE * volumeBytes, volumeBytes - stateBytes))),
    },
    // Certificate and key are each node's own: see its environment.
    ...(spec.tls.mode === 'Disabled'
      ? {}
      : {
          tls: {
            mode: 'required',
            caFile: `${TLS_DIR}/ca.crt`,
            caKeyFile: `${SECRETS_DIR}/ca.key`,
            joinSecretFile: `${SECRETS_DIR}/join.secret`,
            joinedCertificateDays: spec.tls.certificateDays,
          },
        }),
  };
  return withParameters(config, spec.parameters);
}

export function coordinatorConfig(owner: Owner, spec: ClusterSpec): Json {
  const seeds = nodeNames(owner.name, spec.coordinators.replicas);
  return { ...coordinatorSettings(owner, spec), join: seeds.map((node) => peerAddress(owner, node)) };
}

/** Without `coordinators`: what a change of restarts a worker. */
export function workerSettings(owner: Owner, spec: ClusterSpec, pool: WorkerPool): Json {
  const plugins = (pool.plugins ?? []).map((_, index) => `${PLUGINS_DIR}/${String(index)}`);
  const config = {
    ...common(owner, spec),
    role: 'worker',
    worker: { concurrency: pool.concurrency, pluginDirs: plugins },
    drainTimeoutMs: 1_000 * pool.drainTimeoutSeconds,
    ...(spec.tls.mode === 'Disabled'
      ? {}
      : { tls: { mode: 'required', join: { address: `${serviceHost(owner)}:${String(REST_PORT)}` } } }),
  };
  const { log = {} } = spec.parameters;
  return withParameters(config, { log });
}

export function workerConfig(owner: Owner, spec: ClusterSpec, pool: WorkerPool): Json {
  const coordinators = nodeNames(owner.name, spec.coordinators.replicas).map((id) => ({
    id,
    address: peerAddress(owner, id),
    httpAddress: restAddress(owner, id),
  }));
  return { ...workerSettings(owner, spec, pool), coordinators };
}

/** As a file: JSON is YAML. */
export function configText(config: Json): string {
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
