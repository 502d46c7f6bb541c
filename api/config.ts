/**
 * Node configuration from a file, the environment and flags. Pure: the caller reads the sources.
 *
 * 1. Precedence: flags, then environment, then file, then defaults, for each setting on its own.
 * 2. Nothing is ignored: an unknown key, a wrong type or a value out of bounds is an error that names its source.
 * 3. All faults are reported at once.
 */
import { Value } from 'typebox/value';
import { isLoopback } from '../base/address.ts';
import { DistricError, type FieldError } from '../base/errors.ts';
import {
  CONFIG_ROOT,
  NODE_CONFIG_SCHEMA,
  SETTINGS,
  expectation,
  type NodeConfig,
  type Setting,
  type SettingSchema,
} from './config-schema.ts';
import { checkDiscovery, discoveryOf, hasPort } from './discovery.ts';
import { checkGossip } from './gossip.ts';
import { checkReserved } from './reservations.ts';
import { checkTls, httpTls } from './tls.ts';

export type { NodeConfig } from './config-schema.ts';

export interface ConfigSources {
  /** The parsed configuration file; undefined or null when there is none or it is empty. */
  file?: unknown;
  env: Readonly<Record<string, string | undefined>>;
  /** By path (`peer.port`), kebab case (`peer-port`) or camel case (`peerPort`), without leading dashes. */
  flags: Readonly<Record<string, string | undefined>>;
}

/** DISTRIC_ variables that other parts of the program read. */
const OTHER_VARIABLES = new Set([
  'DISTRIC_CONFIG',
  'DISTRIC_SERVER',
  'DISTRIC_API_KEY',
  'DISTRIC_HTTP_ALLOW',
  'DISTRIC_CA',
  'DISTRIC_CERT',
  'DISTRIC_CERT_KEY',
]);

/** Kubernetes adds these for a Service whose name starts with `distric`; they are no settings. */
const SERVICE_LINK = /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP)(_|$)/;

const COORDINATOR_COUNTS = [1, 3, 5, 7];

interface Faults {
  fields: FieldError[];
  /** Setting path -> the source its value came from, in words. */
  sources: Map<string, string>;
}

/**
 * Joins and validates the sources.
 * @throws DistricError INVALID_DOCUMENT; `fields` name each setting, the reason and the source of the value.
 */
export function loadConfig(sources: ConfigSources): NodeConfig {
  const faults: Faults = { fields: [], sources: new Map() };
  const config = fileSettings(sources.file, faults);
  applyEnvironment(config, sources.env, faults);
  applyFlags(config, sources.flags, faults);
  addDefaults(config, CONFIG_ROOT);
  check(CONFIG_ROOT, config, '', faults);
  // Cross checks read fields that only exist once each value on its own is right.
  const valid = faults.fields.length === 0 && Value.Check(NODE_CONFIG_SCHEMA, config) ? config : undefined;
  if (valid !== undefined) crossCheck(valid, faults);
  if (valid !== undefined && faults.fields.length === 0) return valid;
  const details = faults.fields.map((fault) => `${fault.field}: ${fault.reason}`).join('; ');
  throw new DistricError('INVALID_DOCUMENT', `correct the node configuration: ${details}`, faults.fields);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fileSettings(file: unknown, faults: Faults): Record<string, unknown> {
  if (file === undefined || file === null) return {};
  if (isObject(file)) return structuredCopy(file) as Record<string, unknown>;
  faults.fields.push({ field: '', reason: `the file must hold an object of settings, not ${quote(file)}` });
  return {};
}

/** The caller's parsed file stays as it is: defaults and overrides go into a copy. */
function structuredCopy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(structuredCopy);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, structuredCopy(child)]));
}

function applyEnvironment(config: Record<string, unknown>, env: ConfigSources['env'], faults: Faults): void {
  const byVariable = new Map(SETTINGS.map((setting) => [setting.variable, setting]));
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('DISTRIC_') || OTHER_VARIABLES.has(variable)) continue;
    // An empty variable is how compose files and shells say "not set".
    if (text === undefined || text === '') continue;
    if (SERVICE_LINK.test(variable) || (variable.endsWith('_PORT') && /^(tcp|udp):\/\//.test(text))) continue;
    const setting = byVariable.get(variable);
    if (setting === undefined) {
      faults.fields.push({
        field: variable,
        reason: `no setting has this environment variable, its value is ${quote(text)}`,
      });
    } else {
      set(config, setting, text, `environment variable ${variable}`, faults);
    }
  }
}

function plain(flag: string): string {
  return flag.replace(/[^A-Za-z0-9]/g, '').toLowerCase();
}

function applyFlags(config: Record<string, unknown>, flags: ConfigSources['flags'], faults: Faults): void {
  const byFlag = new Map(SETTINGS.map((setting) => [plain(setting.flag), setting]));
  for (const [flag, text] of Object.entries(flags)) {
    if (text === undefined) continue;
    const setting = byFlag.get(plain(flag));
    if (setting === undefined) faults.fields.push({ field: flag, reason: 'no setting has this flag' });
    else set(config, setting, text, `flag ${setting.flag}`, faults);
  }
}

function set(config: Record<string, unknown>, setting: Setting, text: string, source: string, faults: Faults): void {
  const parts = setting.path.split('.');
  const last = parts.pop() ?? setting.path;
  let holder = config;
  for (const part of parts) {
    const child = holder[part];
    if (isObject(child)) holder = child;
    else if (child === undefined) holder = holder[part] = {};
    else return; // the file has something else here; check() reports that
  }
  holder[last] = fromText(setting, text);
  faults.sources.set(setting.path, source);
}

/** What cannot be converted stays text, so that check() reports it with the wording of the setting. */
function fromText(setting: Setting, text: string): unknown {
  const { schema } = setting;
  if (schema.type === 'integer') return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : text;
  if (schema.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (schema.type !== 'array') return text;
  if (text.trim().startsWith('[')) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return text;
    }
  }
  const items = text.split(',').map((item) => item.trim());
  if (schema.items?.type !== 'object') return items.filter((item) => item !== '');
  return items.filter((item) => item !== '').map(coordinatorFromText);
}

/** `id=host:port` or `id=host:port/host:httpPort`. */
function coordinatorFromText(text: string): unknown {
  const match = /^([^=]+)=([^/]+)(?:\/(.+))?$/.exec(text);
  if (match === null) return text;
  const [, id, address, httpAddress] = match;
  return httpAddress === undefined ? { id, address } : { id, address, httpAddress };
}

function addDefaults(config: Record<string, unknown>, schema: SettingSchema): void {
  for (const [key, child] of Object.entries(schema.properties ?? {})) {
    if (child.properties !== undefined) {
      // `peer:` with nothing below it is how YAML writes an empty section.
      if (config[key] === undefined || config[key] === null) config[key] = {};
      const section = config[key];
      if (isObject(section)) addDefaults(section, child);
    } else if (config[key] === undefined && child.default !== undefined) {
      config[key] = structuredCopy(child.default);
    }
  }
}

function check(schema: SettingSchema, value: unknown, path: string, faults: Faults): void {
  if (schema.properties !== undefined && isObject(value)) {
    checkObject(schema.properties, schema.required ?? [], value, path, faults);
  } else if (schema.type === 'array' && Array.isArray(value) && value.length <= (schema.maxItems ?? 0)) {
    const { items } = schema;
    if (items !== undefined)
      value.forEach((item, index) => {
        check(items, item, `${path}[${String(index)}]`, faults);
      });
  } else if (!Value.Check(schema as typeof NODE_CONFIG_SCHEMA, value)) {
    faults.fields.push({
      field: path,
      reason: `must be ${expectation(schema)}, not ${quote(value)} ${from(path, faults)}`,
    });
  }
}

function checkObject(
  properties: Record<string, SettingSchema>,
  required: readonly string[],
  value: Record<string, unknown>,
  path: string,
  faults: Faults,
): void {
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(properties, key)) continue;
    const known = Object.keys(properties).join(', ');
    faults.fields.push({ field: at(key), reason: `unknown key ${from(at(key), faults)}; known here: ${known}` });
  }
  for (const [key, child] of Object.entries(properties)) {
    if (value[key] !== undefined) check(child, value[key], at(key), faults);
    else if (required.includes(key))
      faults.fields.push({ field: at(key), reason: `is required: ${expectation(child)}${hint(at(key))}` });
  }
}

function hint(path: string): string {
  const setting = SETTINGS.find((candidate) => candidate.path === path);
  return setting === undefined ? '' : ` (in the file, ${setting.variable} or ${setting.flag})`;
}

/** `coordinators[1].id` has the source of `coordinators`. */
function from(path: string, faults: Faults): string {
  return `(from ${faults.sources.get(path.replace(/\[.*$/, '')) ?? 'the file'})`;
}

function quote(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function crossCheck(config: NodeConfig, faults: Faults): void {
  const refuse = (field: string, reason: string): void => {
    faults.fields.push({ field, reason });
  };
  checkCoordinators(config, refuse);
  checkListeners(config, refuse);
  checkGossip(config, refuse);
  checkDiscovery(config, refuse);
  checkTls(config, refuse);
  checkReserved(config, refuse);
  const { storageSoftPercent, storageHardPercent } = config.limits;
  if (storageSoftPercent >= storageHardPercent) {
    refuse('limits.storageSoftPercent', `must be below limits.storageHardPercent (${String(storageHardPercent)})`);
  }
  if (config.limits.itemBytesMax > config.limits.requestBytesMax) {
    refuse(
      'limits.itemBytesMax',
      `must not be above limits.requestBytesMax (${String(config.limits.requestBytesMax)})`,
    );
  }
}

function checkCoordinators(config: NodeConfig, refuse: (field: string, reason: string) => void): void {
  const { coordinators, nodeId, role } = config;
  const seen = new Set<string>();
  coordinators.forEach(({ id, address, httpAddress }, index) => {
    const at = `coordinators[${String(index)}]`;
    if (seen.has(id)) refuse(`${at}.id`, `another coordinator has the id ${quote(id)}: give each its own`);
    if (seen.has(address))
      refuse(`${at}.address`, `another coordinator has the address ${quote(address)}: give each its own`);
    seen.add(id).add(address);
    if (!hasPort(address)) refuse(`${at}.address`, `needs a port from 1 to 65535, not ${quote(address)}`);
    if (httpAddress !== undefined && !hasPort(httpAddress))
      refuse(`${at}.httpAddress`, `needs a port from 1 to 65535, not ${quote(httpAddress)}`);
  });
  const finds = coordinators.length === 0 && discoveryOf(config) !== undefined;
  if (role === 'worker' && coordinators.length === 0 && !finds) {
    refuse('coordinators', 'a worker needs the address of at least one coordinator, or `discovery`');
  } else if (role === 'worker' && coordinators.some(({ id }) => id === nodeId)) {
    refuse('nodeId', `a coordinator has the id ${quote(nodeId)}: give the worker its own`);
  }
  if (role !== 'coordinator') {
    if (config.join.length > 0) refuse('join', 'is for coordinators: a worker finds them by `coordinators`');
    return;
  }
  if (config.join.length > 0) {
    if (coordinators.length > 0)
      refuse('join', 'a coordinator that joins is told of the others: leave out `coordinators`');
    config.join.forEach((seed, index) => {
      if (!hasPort(seed)) refuse(`join[${String(index)}]`, `needs a port from 1 to 65535, not ${quote(seed)}`);
    });
    return;
  }
  if (finds) return;
  if (!COORDINATOR_COUNTS.includes(coordinators.length)) {
    refuse('coordinators', `must name 1, 3, 5 or 7 coordinators, not ${String(coordinators.length)}`);
  }
  if (!coordinators.some(({ id }) => id === nodeId)) {
    refuse('coordinators', `must name this coordinator itself, the id ${quote(nodeId)} is missing`);
  }
}

/** What a listener of this node lacks beyond loopback: the one place where TLS and access are weighed together. */
function missingForPublicListen(config: NodeConfig, section: 'peer' | 'http' | 'metrics'): string[] {
  if (config.insecureAllowPublicListen) return [];
  const missing: string[] = [];
  if (config.tls.mode === 'disabled') missing.push('TLS (tls.mode)');
  else if (section === 'http' && config.role === 'coordinator' && httpTls(config) === 'disabled') {
    missing.push('TLS (http.tls)');
  }
  // Workers serve no REST: only certificates let anybody in there.
  if (config.role === 'coordinator' && config.auth.mode !== 'required') missing.push('auth.mode: required');
  return missing;
}

function checkListeners(config: NodeConfig, refuse: (field: string, reason: string) => void): void {
  const taken = new Map<number, string>();
  for (const section of ['peer', 'http', 'metrics'] as const) {
    const { host, port } = config[section];
    const missing = missingForPublicListen(config, section);
    if (missing.length > 0 && !isLoopback(host)) {
      refuse(
        `${section}.host`,
        `without ${missing.join(' and ')} this node listens on loopback only, not on ${quote(host)}; ` +
          'set insecureAllowPublicListen: true if every host on that network is trusted',
      );
    }
    const other = taken.get(port);
    if (port !== 0 && other !== undefined)
      refuse(`${section}.port`, `${String(port)} is the port of ${other}: give each its own`);
    taken.set(port, section);
  }
}
