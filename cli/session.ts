import path from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { isLoopback, parseAddress } from '../base/address.ts';
import { DistricError } from '../base/errors.ts';
import type { ClientOptions } from '../client/client.ts';
import { checkedKey, localAdminKey, readKeyFile } from './admin-key.ts';
import { RestClient } from './client.ts';
import { DATA_DIR, findDataDir, hasClusterFile, readClusterFile, restUrl } from './cluster-file.ts';
import type { ClusterFile } from './cluster-file.ts';
import type { ClientTls } from './exchange.ts';
import { CliError, EXIT } from './exit-code.ts';
import { OUTPUT_FORMATS, printValue } from './output.ts';
import type { OutputFormat } from './output.ts';
import { clientTls, localAuthorities, localClientTls } from './tls-files.ts';
import { painter } from './terminal.ts';
import type { Io, Paint } from './terminal.ts';

const TIMEOUT_S = 10;
const TIMEOUT_S_MAX = 3_600;

export interface GlobalOptions {
  server?: string[];
  apiKeyFile?: string;
  ca?: string;
  cert?: string;
  certKey?: string;
  insecure?: boolean;
  data?: string;
  output: OutputFormat;
  timeout: number;
}

export function addGlobalOptions(program: Command): void {
  program
    .addOption(
      new Option('-s, --server <url>', 'a coordinator; repeat it, or separate several by commas').argParser(collect),
    )
    .addOption(
      new Option(
        '--api-key-file <file>',
        "file with the key to send (default: DISTRIC_API_KEY, or the local cluster's)",
      ),
    )
    .addOption(new Option('--ca <file>', "authorities to check https servers by (DISTRIC_CA; the local cluster's)"))
    .addOption(new Option('--cert <file>', 'certificate to show to https servers (DISTRIC_CERT)'))
    .addOption(new Option('--cert-key <file>', 'its key (DISTRIC_CERT_KEY)'))
    .addOption(new Option('--insecure', 'send the key in plain text to other machines, too'))
    .addOption(new Option('--data <dir>', `folder of the local cluster (default: the nearest ${DATA_DIR})`))
    .addOption(new Option('-o, --output <format>', 'how to print').choices(OUTPUT_FORMATS).default('table'))
    .addOption(
      new Option('--timeout <seconds>', 'how long to wait for the cluster')
        .argParser(numberIn(0.1, TIMEOUT_S_MAX))
        .default(TIMEOUT_S),
    );
}

/** For options that may be given several times. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), ...value.split(',').filter((part) => part !== '')];
}

/** An option's value as a number between two bounds. */
export function numberIn(min: number, max: number, integer = false): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (value.trim() !== '' && number >= min && number <= max && (!integer || Number.isInteger(number))) return number;
    throw new InvalidArgumentError(`It must be ${integer ? 'an integer' : 'a number'} from ${min} to ${max}.`);
  };
}

/** An option's value as `host:port`. */
export function addressIn(value: string): string {
  try {
    parseAddress(value);
    return value;
  } catch (error) {
    if (error instanceof DistricError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

/** What one invocation of a command works with. */
export class Session {
  readonly io: Io;
  readonly options: GlobalOptions;
  readonly paint: Paint;

  constructor(io: Io, options: GlobalOptions) {
    this.io = io;
    this.options = options;
    this.paint = painter(io);
  }

  /** `value` for programs, `text` for people. */
  print(value: unknown, text: () => string): void {
    printValue(this.io.stdout, this.options.output, value, text);
  }

  /** A remark for people, out of the way of the output. */
  note(text: string): void {
    this.io.stderr.write(`${text}\n`);
  }

  /** The folder of the local cluster: `--data`, else the nearest one with a cluster, if any. */
  dataDir(): string | undefined {
    const { data } = this.options;
    return data === undefined ? findDataDir(this.io.cwd) : path.resolve(this.io.cwd, data);
  }

  /** As dataDir(), for commands that need a local cluster. */
  requireDataDir(): string {
    const dataDir = this.dataDir();
    if (dataDir !== undefined && hasClusterFile(dataDir)) return dataDir;
    const where = dataDir ?? `${path.join(this.io.cwd, DATA_DIR)} or a parent`;
    throw new CliError(EXIT.NOT_FOUND, `there is no local cluster in ${where}: start one with: distric up`);
  }

  /** The folder of a cluster that may be made now. */
  newDataDir(): string {
    return path.resolve(this.io.cwd, this.options.data ?? DATA_DIR);
  }

  /** What a client of the binary protocol needs, for the coordinators at `peers` or those of the local cluster. */
  async binaryOptions(peers: readonly string[] | undefined): Promise<ClientOptions> {
    const dataDir = this.dataDir();
    const file = dataDir !== undefined && hasClusterFile(dataDir) ? await readClusterFile(dataDir) : undefined;
    const local = file?.nodes.flatMap(({ role, peer }) => (role === 'coordinator' ? [peer] : [])) ?? [];
    const servers = peers ?? local;
    if (servers.length === 0) {
      const ways = 'start one here with `distric up`, or give --peer host:port';
      throw new CliError(EXIT.UNAVAILABLE, `no cluster is known: ${ways}`);
    }
    const isLocal = servers.every((server) => local.includes(server));
    const apiKey = await this.#apiKey(isLocal && file !== undefined ? localServers(file) : []);
    const tls = await this.#binaryTls(isLocal ? file : undefined);
    return {
      servers,
      name: 'distric-cli',
      insecure: this.options.insecure === true,
      ...(isLocal && file !== undefined ? { clusterName: file.settings.clusterName } : {}),
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(tls === undefined ? {} : { tls }),
    };
  }

  /** Never plain text by mistake: the first frame carries the key. `local` is the cluster that it goes to, if it is ours. */
  async #binaryTls(local: ClusterFile | undefined): Promise<ClientOptions['tls']> {
    const dataDir = this.dataDir();
    if (local !== undefined && local.settings.tls !== true) return undefined;
    const own = local === undefined || dataDir === undefined ? {} : await localClientTls(dataDir);
    const { ca, certificate, key } = clientTls(this.options, this.io.env, this.io.cwd);
    const shown = certificate === undefined ? own : { certificate, key };
    const authorities = ca ?? own.ca;
    if (authorities !== undefined && shown.certificate !== undefined && shown.key !== undefined) {
      return { certificate: shown.certificate, key: shown.key, authorities };
    }
    if (local === undefined && authorities === undefined && certificate === undefined) return undefined;
    const ways = 'nodes with TLS want a certificate of every client: give --ca, --cert and --cert-key';
    throw new CliError(EXIT.USAGE, local === undefined ? ways : `${ways}, or make one with: distric up`);
  }

  async client(): Promise<RestClient> {
    const servers = await this.#servers();
    const apiKey = await this.#apiKey(servers);
    if (apiKey !== undefined && this.options.insecure !== true) refuseClearText(servers);
    return new RestClient(servers, this.options.timeout * 1_000, apiKey, await this.#tls(servers));
  }

  /** The authority of the local cluster is for its own coordinators only. */
  async #tls(servers: readonly string[]): Promise<ClientTls> {
    const given = clientTls(this.options, this.io.env, this.io.cwd);
    const dataDir = this.dataDir();
    if (given.ca !== undefined || dataDir === undefined || !hasClusterFile(dataDir)) return given;
    const local = localServers(await readClusterFile(dataDir));
    return servers.every((server) => local.includes(server)) ? { ...given, ca: localAuthorities(dataDir) } : given;
  }

  /** The key of the local cluster goes to its own coordinators only, wherever the command was told to go. */
  async #apiKey(servers: readonly string[]): Promise<string | undefined> {
    const { apiKeyFile } = this.options;
    if (apiKeyFile !== undefined) return readKeyFile(path.resolve(this.io.cwd, apiKeyFile));
    const given = this.io.env['DISTRIC_API_KEY'] ?? '';
    if (given !== '') return checkedKey(given.trim(), 'DISTRIC_API_KEY');
    const dataDir = this.dataDir();
    if (dataDir === undefined || !hasClusterFile(dataDir)) return undefined;
    const local = localServers(await readClusterFile(dataDir));
    return servers.every((server) => local.includes(server)) ? localAdminKey(dataDir) : undefined;
  }

  async #servers(): Promise<string[]> {
    const given = this.options.server ?? collect(this.io.env['DISTRIC_SERVER'] ?? '', undefined);
    if (given.length > 0) return given.map(baseUrl);
    const dataDir = this.dataDir();
    if (dataDir !== undefined && hasClusterFile(dataDir)) {
      return localServers(await readClusterFile(dataDir));
    }
    const ways = 'start one here with `distric up`, or give --server http://host:port or DISTRIC_SERVER';
    throw new CliError(EXIT.UNAVAILABLE, `no cluster is known: ${ways}`);
  }
}

function localServers(file: ClusterFile): string[] {
  return file.nodes.flatMap((node) => restUrl(file, node) ?? []);
}

/** A key in plain text is anybody's on the way. */
function refuseClearText(servers: readonly string[]): void {
  for (const server of servers) {
    const { protocol, hostname } = new URL(server);
    if (protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''))) continue;
    const ways = 'use https://, a tunnel to localhost, or --insecure where the network is trusted';
    throw new CliError(EXIT.USAGE, `${server} would get the key in plain text: ${ways}`);
  }
}

/** `host:port` and `http://host:port/` are the same server. */
function baseUrl(given: string): string {
  const text = given.trim();
  const url = URL.parse(/^https?:\/\//u.test(text) ? text : `http://${text}`);
  if (url !== null && url.pathname === '/' && url.search === '') return url.origin;
  throw new CliError(EXIT.USAGE, `--server must be like http://host:port, not ${JSON.stringify(given)}`);
}

/** Gives the action of a command what it works with. */
export type OpenSession = (command: Command) => Session;
export type AddCommand = (parent: Command, open: OpenSession) => void;
