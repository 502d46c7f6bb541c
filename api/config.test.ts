import { describe, expect, it } from '@jest/globals';
import { DistricError } from '../base/errors.ts';
import { loadConfig, type ConfigSources } from './config.ts';
import { reservedSlots } from './reservations.ts';
import { isRequired, SETTINGS } from './config-schema.ts';

const three = [
  { id: 'c1', address: '127.0.0.1:7401' },
  { id: 'c2', address: '127.0.0.1:7402' },
  { id: 'c3', address: '127.0.0.1:7403', httpAddress: '127.0.0.1:8083' },
];
const coordinator = { nodeId: 'c1', role: 'coordinator', coordinators: three };

function load(sources: Partial<ConfigSources>) {
  return loadConfig({ env: {}, flags: {}, ...sources });
}

function faultsOf(sources: Partial<ConfigSources>): Record<string, string> {
  try {
    load(sources);
  } catch (error) {
    if (!(error instanceof DistricError)) throw error;
    expect(error.code).toBe('INVALID_DOCUMENT');
    return Object.fromEntries(error.fields.map(({ field, reason }) => [field, reason]));
  }
  throw new Error('the configuration was accepted');
}

describe('loadConfig()', () => {
  it('fills every setting that has a default', () => {
    const config = load({ file: coordinator });
    expect(config).toMatchObject({
      clusterName: 'distric',
      peer: { host: '127.0.0.1', port: 7400 },
      http: { port: 8080 },
      metrics: { port: 9090 },
      raft: { profile: 'default' },
      log: { level: 'info', format: 'json' },
      worker: { concurrency: 16, pluginDirs: [] },
      limits: { itemBytesMax: 1_048_576, requestBytesMax: 16_777_216 },
      drainTimeoutMs: 30_000,
      insecureAllowPublicListen: false,
    });
    expect(config.coordinators).toEqual(three);
  });

  it('takes flags before environment before file before defaults, each setting on its own', () => {
    const config = load({
      file: { ...coordinator, peer: { port: 1 }, http: { port: 2 }, metrics: { port: 3 } },
      env: { DISTRIC_PEER_PORT: '11', DISTRIC_HTTP_PORT: '12', PATH: '/bin', DISTRIC_LOG_LEVEL: '' },
      flags: { 'peer-port': '21', dataDir: '/data', 'raft.profile': 'fast', 'log-level': undefined },
    });
    expect([config.peer.port, config.http.port, config.metrics.port]).toEqual([21, 12, 3]);
    expect([config.dataDir, config.raft.profile, config.log.level]).toEqual(['/data', 'fast', 'info']);
  });

  it('leaves the parsed file as it was', () => {
    const file = { ...coordinator, peer: { port: 1 } };
    const before = JSON.stringify(file);
    load({ file, env: { DISTRIC_PEER_PORT: '2' } });
    expect(JSON.stringify(file)).toBe(before);
  });

  it('reads lists from text: separated by commas, or JSON', () => {
    const env = { DISTRIC_NODE_ID: 'w1', DISTRIC_ROLE: 'worker', DISTRIC_WORKER_PLUGIN_DIRS: 'a, b' };
    const text = 'c1=127.0.0.1:7401,c2=[::1]:7402/localhost:8082';
    const config = load({ env: { ...env, DISTRIC_COORDINATORS: text } });
    expect(config.worker.pluginDirs).toEqual(['a', 'b']);
    expect(config.coordinators).toEqual([
      { id: 'c1', address: '127.0.0.1:7401' },
      { id: 'c2', address: '[::1]:7402', httpAddress: 'localhost:8082' },
    ]);
    expect(load({ env: { ...env, DISTRIC_COORDINATORS: JSON.stringify(three) } }).coordinators).toEqual(three);
  });

  it('takes an empty section of the file as defaults', () => {
    expect(load({ file: { ...coordinator, peer: null } }).peer.port).toBe(7400);
  });

  it.each([
    ['file', { file: { ...coordinator, peer: { port: 'abc' } } }],
    ['environment variable DISTRIC_PEER_PORT', { file: coordinator, env: { DISTRIC_PEER_PORT: 'abc' } }],
    ['flag --peer-port', { file: coordinator, flags: { 'peer-port': 'abc' } }],
  ])('names the place, the bounds, the value and the source: %s', (source, sources) => {
    const reason = faultsOf(sources)['peer.port'];
    expect(reason).toContain('an integer from 0 to 65535, not "abc"');
    expect(reason).toContain(source);
  });

  it('refuses unknown keys in every source, and reports all faults at once', () => {
    const faults = faultsOf({
      file: { ...coordinator, prot: 1, peer: { hots: 'x' }, coordinators: [{ ...three[0], adress: 'x' }] },
      env: { DISTRIC_PEER_PROT: '1' },
      flags: { nodename: 'x' },
    });
    expect(Object.keys(faults).sort()).toEqual(
      ['DISTRIC_PEER_PROT', 'coordinators[0].adress', 'nodename', 'peer.hots', 'prot'].sort(),
    );
  });

  it('ignores the service links that Kubernetes puts into the environment, and variables of other parts', () => {
    const env = {
      DISTRIC_SERVICE_HOST: '10.0.0.1',
      DISTRIC_HTTP_PORT: 'tcp://10.0.0.1:80',
      DISTRIC_HTTP_PORT_80_TCP_ADDR: '10.0.0.1',
      DISTRIC_SERVER: 'http://127.0.0.1:8080',
    };
    expect(load({ file: coordinator, env }).http.port).toBe(8080);
  });

  it.each([
    [{ peer: 7 }, 'peer', 'an object'],
    [{ coordinators: 'c1' }, 'coordinators', 'a list'],
    [{ coordinators: ['c1'] }, 'coordinators[0]', 'an object'],
    [{ coordinators: [{ id: 'c1' }] }, 'coordinators[0].address', 'is required'],
    [{ coordinators: [{ id: 'c1', address: 'nowhere' }] }, 'coordinators[0].address', '"host:port"'],
    [{ coordinators: [{ id: 'c1', address: 'a:99999' }] }, 'coordinators[0].address', '1 to 65535'],
    [{ insecureAllowPublicListen: 'yes' }, 'insecureAllowPublicListen', 'true or false'],
    [{ log: { level: 'loud' } }, 'log.level', 'one of trace'],
    [{ nodeId: '../x' }, 'nodeId', 'a name of'],
    [{ dataDir: '' }, 'dataDir', 'not empty'],
    [{ role: undefined }, 'role', 'is required'],
    [{ drainTimeoutMs: 1.5 }, 'drainTimeoutMs', 'an integer'],
    [{ http: { port: 7400 } }, 'http.port', 'the port of peer'],
    [{ limits: { requestBytesMax: 2048 } }, 'limits.itemBytesMax', 'limits.requestBytesMax'],
  ])('refuses %j', (change, field, words) => {
    expect(faultsOf({ file: { ...coordinator, ...change } })[field]).toContain(words);
  });

  it('refuses a file that is no object', () => {
    expect(faultsOf({ file: ['x'] })['']).toContain('must hold an object');
  });

  it('refuses text for a list that is no list', () => {
    const sources = { file: coordinator, env: { DISTRIC_COORDINATORS: '[{', DISTRIC_WORKER_PLUGIN_DIRS: '[1]' } };
    expect(Object.keys(faultsOf(sources))).toEqual(['coordinators', 'worker.pluginDirs[0]']);
    expect(faultsOf({ file: coordinator, flags: { coordinators: 'c1' } })['coordinators[0]']).toContain(
      'flag --coordinators',
    );
  });

  it.each([
    ['itself missing', { nodeId: 'c9' }, 'must name this coordinator itself'],
    ['an even number', { coordinators: three.slice(0, 2) }, '1, 3, 5 or 7 coordinators, not 2'],
    ['a worker without one', { role: 'worker', nodeId: 'w1', coordinators: [] }, 'at least one coordinator'],
  ])('checks the coordinators together: %s', (_, change, words) => {
    expect(faultsOf({ file: { ...coordinator, ...change } })['coordinators']).toContain(words);
  });

  it('refuses two coordinators of one id or address, and a worker with the id of a coordinator', () => {
    const twice = [three[0], three[0], three[2]];
    expect(Object.keys(faultsOf({ file: { ...coordinator, coordinators: twice } }))).toEqual([
      'coordinators[1].id',
      'coordinators[1].address',
    ]);
    expect(faultsOf({ file: { ...coordinator, role: 'worker' } })['nodeId']).toContain('give the worker its own');
  });

  it.each(['peer', 'http', 'metrics'])('listens on loopback only unless told so: %s', (section) => {
    const file = { ...coordinator, [section]: { host: '0.0.0.0' } };
    expect(faultsOf({ file })[`${section}.host`]).toContain('insecureAllowPublicListen: true');
    expect(load({ file: { ...file, insecureAllowPublicListen: true } })).toMatchObject({
      [section]: { host: '0.0.0.0' },
    });
    expect(load({ file: { ...coordinator, [section]: { host: '127.0.0.9' } } })).toMatchObject({ nodeId: 'c1' });
  });
});

describe('auth', () => {
  it('says what is missing for a public address', () => {
    const file = { ...coordinator, http: { host: '0.0.0.0' } };
    expect(faultsOf({ file })['http.host']).toContain('auth.mode: required');
    expect(faultsOf({ file: { ...file, auth: { mode: 'required' } } })['http.host']).not.toContain('auth.mode');
    expect(faultsOf({ file: { ...file, auth: { mode: 'required' } } })['http.host']).toContain('tls.mode');
  });

  it('is off by default, without a key file, and ignores the key of the command line', () => {
    const env = { DISTRIC_API_KEY: 'dk_x_y' };
    expect(load({ file: coordinator, env }).auth).toEqual({ mode: 'disabled', adminKeyFile: '' });
    expect(faultsOf({ file: { ...coordinator, auth: { mode: 'on' } } })['auth.mode']).toContain('disabled, required');
  });
});

describe('SETTINGS', () => {
  it('documents every setting, and requires only the two that nobody can guess', () => {
    expect(SETTINGS.length).toBeGreaterThan(20);
    for (const { schema } of SETTINGS) expect(schema.description?.length).toBeGreaterThan(10);
    const required = SETTINGS.filter(({ path, schema }) => schema.default === undefined && isRequired(path));
    expect(required.map(({ path }) => path)).toEqual(['nodeId', 'role']);
    expect(new Set(SETTINGS.map(({ variable }) => variable)).size).toBe(SETTINGS.length);
  });
});

describe('slots that a worker keeps', () => {
  const worker = (reserved: string[], concurrency = 4) =>
    loadConfig({
      file: {
        nodeId: 'w1',
        role: 'worker',
        coordinators: [{ id: 'c1', address: '127.0.0.1:7400' }],
        worker: { concurrency, reserved },
      },
      env: {},
      flags: {},
    });

  it('are for a workflow or for a type of task', () => {
    expect(reservedSlots(worker(['workflow:pay.ments=2', 'type:http=1']))).toEqual([
      { of: 'workflow', name: 'pay.ments', slots: 2 },
      { of: 'type', name: 'http', slots: 1 },
    ]);
  });

  it.each([
    [['workflow:a=3', 'type:b=2'], 'keeps 5 slots of the 4'],
    [['type:b=1', 'type:b=2'], 'a second time'],
    [['a=1'], 'workflow:ID=slots'],
    [['type:a=0'], 'workflow:ID=slots'],
  ])('are refused as %j', (reserved, reason) => {
    expect(() => worker(reserved)).toThrow(reason);
  });
});
