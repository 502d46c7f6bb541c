/** The certificates of this node: gets them if it has none, follows them, and hands them to whoever speaks TLS. */
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { NodeConfig } from '../../api/config.ts';
import type { Identity } from '../../api/identity.ts';
import { httpTls, tlsFiles } from '../../api/tls.ts';
import { isHostName, isIpv4, isIpv6, parseAddress } from '../../base/address.ts';
import { DistricError } from '../../base/errors.ts';
import type { ApiServer, ApiServerOptions } from '../io/http/api-server.ts';
import type { PeerNet, PeerNetOptions } from '../io/net/peer-net.ts';
import { TlsTransport } from '../io/net/tls-transport.ts';
import type { HealthCheck, HealthRegistry } from '../io/telemetry/health.ts';
import type { Logging } from '../io/telemetry/logging.ts';
import type { NodeMetrics } from '../io/telemetry/node-metrics.ts';
import { isOpenToOthers } from '../io/tls/credential-files.ts';
import { CertificateRenewal } from '../io/tls/certificate-renewal.ts';
import { CredentialWatch, type TlsLog } from '../io/tls/credential-watch.ts';
import { PeerTrust } from '../io/tls/peer-trust.ts';
import { JoinDesk } from '../io/tls/join-desk.ts';
import { joinCluster, renewCertificate } from '../io/tls/joining.ts';
import { readJoinSecret } from '../../pki/join-token.ts';

export class NodeTls {
  readonly #config: NodeConfig;
  readonly #watch: CredentialWatch;
  readonly #trust: PeerTrust;
  readonly #transport: TlsTransport;
  readonly #log: TlsLog;
  readonly #renewal: CertificateRenewal | undefined;

  private constructor(config: NodeConfig, watch: CredentialWatch, log: TlsLog) {
    this.#config = config;
    this.#watch = watch;
    this.#log = log;
    this.#trust = new PeerTrust({ trusted: watch.current.trusted });
    this.#transport = new TlsTransport(config.clusterName, watch.current, this.#trust);
    this.#renewal = this.#openRenewal();
  }

  /** Undefined when `tls.mode` is `disabled`. Throws DistricError when this node has no certificate, and gets none. */
  static async open(
    config: NodeConfig,
    parts: { logging: Logging; nodeMetrics: NodeMetrics; health: HealthRegistry },
  ): Promise<NodeTls | undefined> {
    if (config.tls.mode === 'disabled') return undefined;
    const log = parts.logging.component('tls');
    const files = tlsFiles(config);
    const identity = identityFrom(config);
    const { token, address } = config.tls.join;
    if (token !== '' && !existsSync(files.certificateFile)) {
      await joinCluster({ token, address, identity, ...namesOf(config), files, log });
    }
    const watch = new CredentialWatch({ files, identity, intervalMs: config.tls.reloadIntervalMs, log });
    parts.nodeMetrics.observeCertificates((kind) => watch.secondsLeft(kind, Date.now()));
    parts.health.probe('certificates', () => healthOf(watch));
    return new NodeTls(config, watch, log);
  }

  /** For the network of this node. */
  get peerOptions(): Pick<PeerNetOptions, 'transport' | 'limits'> {
    return { transport: this.#transport, limits: { linkAgeMsMax: this.#config.tls.connectionAgeMaxMs } };
  }

  /** For its REST server. `memberIds` follows the membership, and is empty as long as the log has none. */
  apiOptions(memberIds: ReadonlySet<string>): Pick<ApiServerOptions, 'https' | 'join'> {
    const mode = httpTls(this.#config);
    if (mode === 'disabled') return {};
    const clientCertificates = mode === 'mutual' ? 'required' : 'asked';
    const join = this.#joinDesk(memberIds);
    const https = { material: this.#watch.current, clientCertificates, trust: this.#trust } as const;
    return { https, ...(join === undefined ? {} : { join }) };
  }

  /** Hands new certificates to both, as they come. */
  follow(net: PeerNet, api?: ApiServer): void {
    this.#watch.onChange((credentials) => {
      this.#transport.replace(credentials);
      net.renew();
      api?.replaceCertificates(credentials);
      this.#trust.replace(credentials.trusted);
    });
  }

  /** Looks at the files now. */
  look(): void {
    this.#watch.look();
  }

  close(): void {
    this.#renewal?.close();
    this.#trust.close();
    this.#watch.close();
  }

  /** Where a node may join, it may renew its certificate: there, or at any coordinator whose REST it knows. */
  #openRenewal(): CertificateRenewal | undefined {
    const config = this.#config;
    if (config.tls.join.address === '') return undefined;
    const others = config.coordinators.flatMap(({ httpAddress }) => (httpAddress === undefined ? [] : [httpAddress]));
    const fixed = {
      addresses: [...new Set([config.tls.join.address, ...others])],
      identity: identityFrom(config),
      files: tlsFiles(config),
      log: this.#log,
      ...namesOf(config),
    };
    return new CertificateRenewal({
      watch: this.#watch,
      renew: () => renewCertificate({ ...fixed, current: this.#watch.current }),
      log: this.#log,
    });
  }

  #joinDesk(memberIds: ReadonlySet<string>): JoinDesk | undefined {
    const { tls, clusterName, coordinators } = this.#config;
    const configuredIds = new Set(coordinators.map(({ id }) => id));
    if (tls.caKeyFile === '') return undefined;
    // It is read for each node that joins; one that is missing is found out now.
    readSecret(tls.caKeyFile, 'tls.caKeyFile');
    return new JoinDesk({
      clusterName,
      coordinatorIds: () => (memberIds.size > 0 ? memberIds : configuredIds),
      secret: readJoinSecret(readSecret(tls.joinSecretFile, 'tls.joinSecretFile')),
      authorityKey: () => readSecret(tls.caKeyFile, 'tls.caKeyFile'),
      bundle: () => this.#watch.current.authorities,
      certificateDays: tls.joinedCertificateDays,
      log: this.#log,
    });
  }
}

/** DEGRADED only, even when expired: a new certificate is taken as it comes, and others take this node back with it. */
function healthOf(watch: CredentialWatch): HealthCheck {
  const concern = watch.concern(Date.now());
  return concern === undefined ? { status: 'UP' } : { status: 'DEGRADED', message: concern };
}

function identityFrom({ clusterName, role, nodeId }: NodeConfig): Identity {
  return { clusterName, role, name: nodeId };
}

/** By what the configuration tells others to reach this node at, and the machine calls itself. */
function namesOf({ nodeId, coordinators, peer, http }: NodeConfig): { dnsNames: string[]; ipAddresses: string[] } {
  const own = coordinators.find(({ id }) => id === nodeId);
  const hosts = [own?.address, own?.httpAddress].flatMap((text) =>
    text === undefined ? [] : [parseAddress(text).host],
  );
  const bound = [peer.host, http.host].filter((host) => !['0.0.0.0', '::'].includes(host));
  const names = [...new Set([...hosts, ...bound, hostname(), 'localhost', '127.0.0.1'])];
  return {
    dnsNames: names.filter((name) => !isIpv4(name) && !isIpv6(name) && isHostName(name)),
    ipAddresses: names.filter((name) => isIpv4(name) || isIpv6(name)),
  };
}

function readSecret(file: string, setting: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DistricError('INVALID_DOCUMENT', `${setting}: ${file} can't be read: ${reason}`);
  }
  if (!isOpenToOthers(file)) return text;
  throw new DistricError('INVALID_DOCUMENT', `${setting}: ${file} is open to others: chmod 600 it`);
}
