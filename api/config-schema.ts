/**
 * The one declaration of every node setting: name, type, bounds, default and meaning.
 * Validation, environment names, flags and docs/configuration.md are all derived from it.
 */
import { Type, type Static, type TSchema } from 'typebox';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

const strict = { additionalProperties: false } as const;

/** Names end up in file names, metric labels and frames: kept short and plain. */
const NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$';
const HOST_PATTERN = '^[A-Za-z0-9:._-]{1,253}$';
const ADDRESS_PATTERN = '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}$';

function name(description: string) {
  return Type.String({
    pattern: NAME_PATTERN,
    description,
    form: 'a name of 1 to 63 letters, digits, ".", "_" or "-"',
  });
}

function count(minimum: number, maximum: number, defaultValue: number, description: string) {
  return Type.Integer({ minimum, maximum, default: defaultValue, description });
}

function listener<M extends Record<string, TSchema>>(port: number, purpose: string, more: M) {
  return Type.Object(
    {
      host: Type.String({
        pattern: HOST_PATTERN,
        default: '127.0.0.1',
        description: `Address or host name on which ${purpose} listens.`,
        form: 'an IP address or a host name',
      }),
      port: count(
        0,
        65_535,
        port,
        `TCP port of ${purpose}; 0 lets the system choose one, told in the "ready" log line.`,
      ),
      ...more,
    },
    strict,
  );
}

const address = { pattern: ADDRESS_PATTERN, form: '"host:port"' };

const Coordinator = Type.Object(
  {
    id: name('Node id of the coordinator.'),
    address: Type.String({ ...address, description: 'Where its binary protocol is reached, `host:port`.' }),
    httpAddress: Type.Optional(
      Type.String({
        ...address,
        description: 'Where its REST interface is reached, `host:port`; shown in the cluster status.',
      }),
    ),
  },
  strict,
);

const DAY_MS = 86_400_000;

const Tls = Type.Object(
  {
    mode: Type.Enum(['disabled', 'required'], {
      default: 'disabled',
      description:
        'Whether nodes talk by mutual TLS 1.3, each with a certificate that names its cluster, role and node id ' +
        '(docs/security.md). The same on all nodes of the cluster.',
    }),
    certificateFile: Type.String({
      default: '',
      description: "The node's certificate, PEM, with its chain if there is one; empty: `tls/node.crt` in `dataDir`.",
    }),
    keyFile: Type.String({
      default: '',
      description:
        'The private key of the certificate, PEM, readable by the node alone; empty: `tls/node.key` in `dataDir`.',
    }),
    caFile: Type.String({
      default: '',
      description:
        'The certificates of the authorities that this node trusts, PEM, several while one follows another; ' +
        'empty: `tls/ca.crt` in `dataDir`.',
    }),
    reloadIntervalMs: count(
      100,
      3_600_000,
      5_000,
      'How often these files are looked at, in milliseconds; a change is taken over without dropping a connection. SIGHUP looks at once.',
    ),
    connectionAgeMaxMs: count(
      1_000,
      7 * DAY_MS,
      DAY_MS,
      'A connection between nodes so old is replaced by a new one, without losing a message, in milliseconds.',
    ),
    caKeyFile: Type.String({
      default: '',
      description:
        "The private key of the authority, PEM: with it and `tls.joinSecretFile` a coordinator signs the certificates of nodes that join by a token. Empty: it doesn't.",
    }),
    joinSecretFile: Type.String({
      default: '',
      description:
        'The secret that join tokens are made and checked with; the same on all coordinators that let nodes join.',
    }),
    joinedCertificateDays: count(1, 3_650, 90, 'How long the certificate of a node that joined is valid, in days.'),
    join: Type.Object(
      {
        token: Type.String({
          default: '',
          description:
            'Join token, for a node that has no certificate yet: it gets one from the coordinator at `tls.join.address` and ' +
            'keeps it in the files above. Ignored by a node that has one.',
        }),
        address: Type.String({
          default: '',
          description:
            'REST address, `host:port`, of the coordinator that is asked to let this node join, and later, when a third of ' +
            'the life of its certificate is left, for the next one. Empty: certificates are renewed by others.',
        }),
      },
      strict,
    ),
  },
  strict,
);

function kept(ageMs: number, most: number, what: string, start: string) {
  return Type.Object(
    {
      ageMs: count(
        60_000,
        100 * 365 * DAY_MS,
        ageMs,
        `How long ${what} are kept, from ${start}, in milliseconds (docs/storage.md). The same on all coordinators.`,
      ),
      countMax: count(
        1_000,
        10_000_000_000,
        most,
        `Of ${what}, at most about so many are kept: the oldest go. The same on all coordinators.`,
      ),
    },
    strict,
  );
}

export const NODE_CONFIG_SCHEMA = Type.Object(
  {
    nodeId: name('Name of this node, unique in the cluster and kept for the life of its data directory. Required.'),
    role: Type.Enum(['coordinator', 'worker'], {
      description: 'What this node does: `coordinator` holds the replicated state, `worker` executes tasks. Required.',
    }),
    clusterName: Type.String({
      pattern: NAME_PATTERN,
      form: 'a name of 1 to 63 letters, digits, ".", "_" or "-"',
      default: 'distric',
      description: 'Nodes talk only to nodes of the same cluster name.',
    }),
    dataDir: Type.String({
      minLength: 1,
      default: './data',
      description:
        'Directory of the log and the state (coordinators). A local disk, never a network file system. A worker keeps no ' +
        'more than a number there, if the directory exists.',
    }),
    coordinators: Type.Array(Coordinator, {
      maxItems: 7,
      default: [],
      description:
        'All coordinators of the cluster, the same list on every node: 1, 3, 5 or 7; left out where `discovery` finds them. ' +
        'As text: JSON, or `id=host:port` separated by commas (`id=host:port/host:httpPort` with the REST address).',
    }),
    join: Type.Array(Type.String({ ...address }), {
      maxItems: 32,
      default: [],
      description:
        'For a coordinator that joins a cluster: the peer addresses, `host:port`, of some of its members; `coordinators` ' +
        'is left out then. It waits until it is added (`distric members add`), and takes the members from the log.',
    }),
    discovery: Type.Object(
      {
        method: Type.Enum(['static', 'dns', 'multicast'], {
          default: 'static',
          description:
            'How a node that is told of no `coordinators` finds them (docs/network.md): by the addresses in ' +
            '`discovery.seeds`, by all that `discovery.name` has in DNS, or by asking the group `gossip.multicast`.',
        }),
        seeds: Type.Array(Type.String({ ...address }), {
          maxItems: 32,
          default: [],
          description: 'Peer addresses, `host:port`, of some coordinators; one that is there will do.',
        }),
        name: Type.Optional(
          Type.String({
            ...address,
            description:
              'Name and peer port, `name:port`, of the coordinators in DNS, such as a headless Service; looked up anew ' +
              'whenever the node looks for them.',
          }),
        ),
      },
      strict,
    ),
    zone: Type.Optional(name('Where this node is, such as an availability zone; told to the others by gossip.')),
    labels: Type.Array(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._/-]{0,30}=[A-Za-z0-9._-]{0,31}$',
        form: '"name=value", each of up to 31 letters, digits, ".", "_" or "-"',
      }),
      {
        maxItems: 8,
        default: [],
        description: 'What to tell this node apart by, as `name=value`; told to the others by gossip.',
      },
    ),
    bootstrap: Type.Object(
      {
        minVoters: count(
          0,
          7,
          0,
          'Voters of a new cluster that must be in before it takes messages; until then they get 503 BOOTSTRAPPING. ' +
            '0: all of `coordinators`. With fewer, a disk that is lost before all have been in can pass for a whole one.',
        ),
      },
      strict,
    ),
    peer: listener(7400, 'the binary protocol between nodes', {
      compression: Type.Enum(['off', 'on'], {
        default: 'off',
        description:
          'Packs large payloads between nodes that both have it on, where that makes them smaller. ' +
          'It costs processor time on the thread that replicates: for links under 1 Gbit/s.',
      }),
    }),
    gossip: Type.Object(
      {
        enabled: Type.Boolean({
          default: true,
          description:
            'Whether the node takes part in gossip, by datagrams. Outside loopback that needs a key file; without one it ' +
            'stays off there.',
        }),
        host: Type.Optional(
          Type.String({
            pattern: HOST_PATTERN,
            description: 'Address on which datagrams are received; by default that of `peer.host`.',
            form: 'an IP address or a host name',
          }),
        ),
        port: Type.Optional(
          Type.Integer({
            minimum: 0,
            maximum: 65_535,
            description:
              'UDP port; by default the number of `peer.port` on a coordinator, 0 on a worker: ' +
              'the system chooses one then, told in the "ready" log line.',
          }),
        ),
        advertise: Type.Optional(
          Type.String({
            pattern: HOST_PATTERN,
            description:
              'Host at which others reach this node by datagrams; by default the one it listens on or, if that is all of ' +
              'them, the first address of this machine.',
            form: 'an IP address or a host name',
          }),
        ),
        keyFile: Type.Optional(
          Type.String({
            minLength: 1,
            description:
              'YAML or JSON file with the keys that datagrams are encrypted with (docs/network.md). ' +
              'Read again when it changes.',
          }),
        ),
        multicast: Type.Optional(
          Type.String({
            ...address,
            description:
              'Multicast group and port, `239.x.x.x:port`, on which the node listens as well, and on which it asks for ' +
              'coordinators with `discovery.method: multicast`.',
          }),
        ),
      },
      strict,
    ),
    http: listener(8080, 'the REST interface (coordinators)', {
      tls: Type.Enum(['auto', 'disabled', 'server', 'mutual'], {
        default: 'auto',
        description:
          'Whether REST speaks HTTPS, with the certificate of the `tls` section: `server` lets everybody connect and asks ' +
          'for a client certificate without insisting on one, `mutual` insists; `auto` is `server` when `tls.mode` is ' +
          '`required`, else `disabled`.',
      }),
    }),
    metrics: listener(9090, 'the observability server (`/metrics`, `/health/live`, `/health/ready`)', {}),
    insecureAllowPublicListen: Type.Boolean({
      default: false,
      description:
        'Lets the node listen on addresses other than loopback without TLS or with `auth.mode: disabled`: ' +
        'only on a network where every host is trusted.',
    }),
    tls: Tls,
    auth: Type.Object(
      {
        mode: Type.Enum(['disabled', 'required'], {
          default: 'disabled',
          description:
            'Whether REST (coordinators) asks for a key or a client certificate: `disabled` lets everybody do everything, ' +
            'and is for loopback only. The same on all coordinators.',
        }),
        adminKeyFile: Type.String({
          default: '',
          description:
            'File (mode 0600) with the admin key `dk_bootstrap_…` that the first keys are made with; empty for none. ' +
            'Only its hash is held. The same key on all coordinators.',
        }),
      },
      strict,
    ),
    raft: Type.Object(
      {
        profile: Type.Enum(['default', 'fast'], {
          default: 'default',
          description:
            'Timing of elections and heartbeats: `default` 1000-2000 ms and 100 ms; `fast` 150-300 ms and 50 ms, ' +
            'for hosts whose p99.9 event-loop delay stays under a tenth of that.',
        }),
      },
      strict,
    ),
    worker: Type.Object(
      {
        concurrency: count(1, 10_000, 16, 'Attempts this worker runs at the same time.'),
        pluginProcesses: count(1, 64, 2, 'Child processes that run user plugins.'),
        pluginDirs: Type.Array(Type.String({ minLength: 1 }), {
          maxItems: 64,
          default: [],
          description: 'Directories with `*.plugin.ts`, `.js` or `.mjs` files, loaded at the start.',
        }),
        memoryMb: count(
          32,
          65_536,
          256,
          'Memory limit of one plugin process, in MiB; over it the process is replaced.',
        ),
        reserved: Type.Array(
          Type.String({
            pattern: '^(workflow|type):[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?=[1-9][0-9]{0,4}$',
            form: '"workflow:ID=slots" or "type:NAME=slots"',
          }),
          {
            maxItems: 32,
            default: [],
            description:
              'Slots, of `worker.concurrency`, that are kept for the tasks of one workflow or of one type, as ' +
              '`workflow:ID=slots` or `type:NAME=slots` (docs/workers.md).',
          },
        ),
      },
      strict,
    ),
    log: Type.Object(
      {
        level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
          default: 'info',
          description: 'Least severe level that is logged.',
        }),
        format: Type.Enum(['json', 'pretty'], {
          default: 'json',
          description: 'One JSON object a line for programs, or one plain line for people.',
        }),
      },
      strict,
    ),
    limits: Type.Object(
      {
        itemBytesMax: count(1024, MIB, MIB, 'Largest message, in bytes; a larger one gets 413.'),
        requestBytesMax: count(1024, 64 * MIB, 16 * MIB, 'Largest request body, in bytes; a larger one gets 413.'),
        requestItemsMax: count(1, 100_000, 10_000, 'Most messages in one request; more get 413.'),
        activeInstancesMax: count(
          1,
          1_000_000,
          100_000,
          'Most workflow instances running at once; beyond it new messages get 503.',
        ),
        requestsPerSecondPerKey: count(
          0,
          1_000_000,
          0,
          'REST requests a second that one key may make at one coordinator, unless it has a limit of its own; over it 429. 0: no limit.',
        ),
        logMapBytesMax: count(
          64 * MIB,
          4096 * GIB,
          16 * GIB,
          'Largest size of the log on disk, in bytes. Address space is reserved for it; the file grows as it is needed.',
        ),
        logQueueBytesMax: count(
          128 * MIB,
          4 * GIB,
          256 * MIB,
          'Most bytes waiting for the log disk. The node refuses messages long before; past this bound it ends.',
        ),
        stateMapBytesMax: count(
          64 * MIB,
          4096 * GIB,
          64 * GIB,
          'Largest size of the state on disk, in bytes. Address space is reserved for it; the file grows as it is needed.',
        ),
        storageSoftPercent: count(
          1,
          95,
          80,
          'From here on, in percent of the fullest coordinator (its log, its state or its disk), messages get 503 ' +
            '(docs/storage.md). The same on all coordinators.',
        ),
        storageHardPercent: count(
          2,
          98,
          90,
          'From here on tasks wait as well: only deletes and administration go on. The same on all coordinators.',
        ),
      },
      strict,
    ),
    retention: Type.Object(
      {
        messages: kept(7 * DAY_MS, 20_000_000, 'messages', 'their receipt'),
        instances: kept(30 * DAY_MS, 10_000_000, 'instances that have ended', 'their end'),
      },
      strict,
    ),
    dispatch: Type.Object(
      {
        strategy: Type.Enum(['least-loaded', 'round-robin', 'random', 'locality-aware'], {
          default: 'least-loaded',
          description:
            'Which of the workers with room gets the next task: the one with the smallest share of its slots in use, each ' +
            "in its turn, any, or those of the leader's `zone` first (docs/workers.md). The same on all coordinators.",
        }),
      },
      strict,
    ),
    drainTimeoutMs: count(0, 3_600_000, 30_000, 'After SIGTERM: how long running work may finish, in milliseconds.'),
  },
  strict,
);

export type NodeConfig = Static<typeof NODE_CONFIG_SCHEMA>;

/** The parts of JSON Schema that the settings use, as plain data. */
export interface SettingSchema {
  type?: string;
  enum?: readonly string[];
  properties?: Record<string, SettingSchema>;
  required?: readonly string[];
  items?: SettingSchema;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxItems?: number;
  pattern?: string;
  /** Words for `pattern`, used in error messages. */
  form?: string;
  default?: unknown;
  description?: string;
}

/** One leaf of the configuration and its names in the three sources. */
export interface Setting {
  /** Path in the file, such as `peer.port`. */
  path: string;
  /** Environment variable, such as `DISTRIC_PEER_PORT`. */
  variable: string;
  /** Command-line flag, such as `--peer-port`. */
  flag: string;
  schema: SettingSchema;
}

export const CONFIG_ROOT = NODE_CONFIG_SCHEMA as unknown as SettingSchema;

function collect(schema: SettingSchema, path: string, into: Setting[]): void {
  if (schema.properties !== undefined) {
    for (const [key, child] of Object.entries(schema.properties))
      collect(child, path === '' ? key : `${path}.${key}`, into);
    return;
  }
  const words = path
    .replaceAll('.', '_')
    .replace(/[A-Z]/g, (letter) => `_${letter}`)
    .toLowerCase();
  into.push({ path, variable: `DISTRIC_${words.toUpperCase()}`, flag: `--${words.replaceAll('_', '-')}`, schema });
}

function allSettings(): readonly Setting[] {
  const settings: Setting[] = [];
  collect(CONFIG_ROOT, '', settings);
  return settings;
}

/** Every setting, in the order of the schema. */
export const SETTINGS = allSettings();

/** Whether a configuration without that setting is refused. */
export function isRequired(path: string): boolean {
  const names = path.split('.');
  const last = names.pop() ?? '';
  let section: SettingSchema | undefined = CONFIG_ROOT;
  for (const name of names) section = section?.properties?.[name];
  return section?.required?.includes(last) === true;
}

/** What a value of `schema` looks like, in words: the reason given when one does not. */
export function expectation(schema: SettingSchema): string {
  if (schema.enum !== undefined) return `one of ${schema.enum.join(', ')}`;
  if (schema.form !== undefined) return schema.form;
  if (schema.type === 'integer') return `an integer from ${String(schema.minimum)} to ${String(schema.maximum)}`;
  if (schema.type === 'boolean') return 'true or false';
  if (schema.type === 'array') return `a list of at most ${String(schema.maxItems)}`;
  if (schema.type === 'object') return 'an object';
  return schema.minLength === undefined ? 'a text' : 'a text that is not empty';
}
