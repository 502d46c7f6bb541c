/**
 * Which room may import which: one way, as docs/architecture.md draws it. A room is a folder; the longest
 * prefix decides. Tests follow their room and may take the native host, since a pure room has none.
 */
interface Room {
  /** Path prefix of its files, or one file. */
  prefix: string;
  /** Prefixes it may import from, besides itself. */
  mayImport: readonly string[];
  /** What its tests may import on top. */
  testsMayImport?: readonly string[];
  /** npm packages and Node modules it may import; absent = any. */
  packages?: readonly string[];
}

const PURE_NODE = ['base/', 'api/', 'node/core/', 'node/*'];
const NATIVE_HOST = 'node/io/host.ts';
const NATIVE_CIPHER = 'node/io/cipher.ts';

const ROOMS: readonly Room[] = [
  { prefix: 'base/', mayImport: [], packages: [] },
  { prefix: 'api/', mayImport: ['base/'], packages: ['typebox', 'ajv', 'yaml', 're2js'] },
  { prefix: 'node/core/tlv/', mayImport: ['base/', 'api/'], testsMayImport: [NATIVE_CIPHER], packages: [] },
  // What peers say is declared once, in tlv/messages.ts; the cores share those types and nothing else of one another.
  { prefix: 'node/core/raft/', mayImport: ['base/', 'api/', 'node/core/tlv/messages.ts'], packages: [] },
  {
    prefix: 'node/core/swim/',
    mayImport: ['base/', 'api/', 'node/core/tlv/frame.ts', 'node/core/tlv/messages.ts'],
    packages: [],
  },
  { prefix: 'node/core/dispatch/', mayImport: ['base/'], packages: [] },
  { prefix: 'node/core/rpc/', mayImport: ['base/', 'api/', 'node/core/tlv/'], packages: [] },
  { prefix: 'node/core/rules/', mayImport: ['base/', 'api/'], packages: ['re2js'] },
  { prefix: 'node/core/workflow/', mayImport: ['base/', 'api/'], packages: [] },
  {
    // The state applies the entries of the log and keeps its records as TLV.
    prefix: 'node/core/state/',
    mayImport: [
      'base/',
      'api/',
      'node/core/raft/entry.ts',
      'node/core/raft/membership.ts',
      'node/core/rules/',
      'node/core/tlv/',
      'node/core/workflow/',
    ],
    packages: [],
  },
  // The files right under node/: the loops and their ports.
  {
    prefix: 'node/*',
    mayImport: ['base/', 'api/', 'node/core/'],
    testsMayImport: ['node/io/http/recording-gateway.ts'],
    packages: [],
  },
  // Joins loops and drivers into a process; the program only picks what to join.
  { prefix: 'node/run/', mayImport: [...PURE_NODE, 'node/data/', 'node/io/', 'pki/'] },
  // Backups, and what can be done with a data directory while no node runs on it.
  { prefix: 'node/data/', mayImport: [...PURE_NODE, NATIVE_HOST, 'node/io/lmdb/'] },
  { prefix: 'node/main.ts', mayImport: ['base/', 'api/', 'node/run/'] },
  { prefix: NATIVE_HOST, mayImport: ['base/'] },
  { prefix: NATIVE_CIPHER, mayImport: ['node/core/tlv/datagram.ts'] },
  // Certificates are made by the command line and by coordinators that let nodes join, and read by both.
  { prefix: 'pki/', mayImport: ['base/', 'api/'] },
  { prefix: 'node/io/http/', mayImport: [...PURE_NODE, NATIVE_HOST], testsMayImport: ['pki/'] },
  { prefix: 'node/io/lmdb/', mayImport: [...PURE_NODE, NATIVE_HOST] },
  { prefix: 'node/io/net/', mayImport: [...PURE_NODE, NATIVE_HOST, NATIVE_CIPHER], testsMayImport: ['pki/'] },
  { prefix: 'node/io/telemetry/', mayImport: [...PURE_NODE, NATIVE_HOST] },
  { prefix: 'node/io/tls/', mayImport: [...PURE_NODE, NATIVE_HOST, 'pki/'] },
  { prefix: 'node/io/worker/', mayImport: [...PURE_NODE, NATIVE_HOST, 'node/plugins/'] },
  { prefix: 'node/plugins/', mayImport: ['base/', 'api/'] },
  // The simulator stands in for every driver; only the host, which does no I/O, is the real one.
  { prefix: 'node/sim/', mayImport: [...PURE_NODE, NATIVE_HOST] },
  // It speaks the protocol, with Node's own text coding and cipher behind it.
  {
    // The asking side of the protocol is the same on both ends: calls, connections, TLS and the files of it are shared with the nodes.
    prefix: 'client/',
    testsMayImport: ['pki/'],
    mayImport: [
      'base/',
      'api/',
      'node/core/tlv/',
      'node/core/rpc/',
      'node/core/state/query.ts',
      'node/io/net/',
      'node/io/tls/',
      NATIVE_HOST,
      NATIVE_CIPHER,
    ],
  },
  { prefix: 'cli/', mayImport: ['base/', 'api/', 'client/', 'node/data/', 'pki/'] },
  { prefix: 'operator/planner/', mayImport: ['base/', 'api/'], packages: [] },
  { prefix: 'operator/', mayImport: ['base/', 'api/', 'client/', 'pki/', NATIVE_HOST] },
  { prefix: 'e2e/', mayImport: ['base/', 'api/', 'client/', 'cli/', 'examples/', 'pki/'] },
  // A program of its own, started by people and by `npm test`; system packages come the way they do for all tests.
  { prefix: 'e2e/cluster/', mayImport: ['e2e/until.ts', 'tools/cluster-needs.ts', 'tools/go/', 'tools/provision.ts'] },
  { prefix: 'examples/', mayImport: ['base/', 'api/', 'node/plugins/'], testsMayImport: ['node/core/rules/'] },
  { prefix: 'bench/', mayImport: ['base/', 'api/', 'client/', 'cli/', 'node/', 'pki/', 'tools/go/'] },
  {
    prefix: 'tools/',
    mayImport: ['base/', 'api/', 'client/', 'cli/', 'examples/', 'bench/', 'node/core/tlv/', NATIVE_HOST],
  },
];

/** Why the import is refused, or undefined. Paths are relative to the root, with `/`; `target` is a path or a package. */
export function layerViolation(importer: string, target: string): string | undefined {
  const room = roomOf(importer);
  const isTest = importer.endsWith('.test.ts');
  if (room === undefined) return importer.includes('/') ? `${importer} is in no room of tools/layers.ts` : undefined;
  if (!target.includes('.ts')) return isTest ? undefined : packageViolation(room, importer, target);
  const allowed = [room.prefix, ...room.mayImport];
  if (isTest) allowed.push(NATIVE_HOST, ...(room.testsMayImport ?? []));
  if (allowed.some((prefix) => matches(prefix, target))) return undefined;
  return `${importer} imports ${target}: ${room.prefix} may only import ${room.mayImport.join(', ') || 'itself'}`;
}

function packageViolation(room: Room, importer: string, target: string): string | undefined {
  if (room.packages === undefined) return undefined;
  const allowed = room.packages.some((name) => target === name || target.startsWith(`${name}/`));
  return allowed ? undefined : `${importer} imports ${target}: ${room.prefix} may not use that package`;
}

function roomOf(path: string): Room | undefined {
  return ROOMS.filter((room) => matches(room.prefix, path)).sort((a, b) => b.prefix.length - a.prefix.length)[0];
}

/** `dir/` matches all below it, `dir/*` the files right in it but its main program, anything else itself. */
function matches(prefix: string, path: string): boolean {
  if (prefix.endsWith('/*')) {
    const folder = prefix.slice(0, -1);
    return path.startsWith(folder) && !path.slice(folder.length).includes('/') && path !== `${folder}main.ts`;
  }
  return prefix.endsWith('/') ? path.startsWith(prefix) : path === prefix;
}
