/** The image of the node, as plain pods: a coordinator and a worker under the restricted Pod Security level. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../until.ts';
import { Kube, type Namespace } from './kube.ts';
import { pod, service } from './objects.ts';
import { packageVersion } from '../../cli/commands/version.ts';

const START_LIMIT_MS = 90_000;
const TEST_LIMIT_MS = 180_000;
const PEER_PORT = 7_400;
const HTTP_PORT = 8_080;
const METRICS_PORT = 9_090;

const DOCUMENTS = `
rules:
  - id: greet
    conditions: { field: event_type, op: equals, value: hello }
    actions: [{ workflow: note }]
workflows:
  - id: note
    tasks: [{ id: write, type: log, config: { message: seen } }]
`;

const EVERYWHERE = {
  DISTRIC_INSECURE_ALLOW_PUBLIC_LISTEN: 'true',
  DISTRIC_METRICS_HOST: '0.0.0.0',
  DISTRIC_METRICS_PORT: String(METRICS_PORT),
};
const READINESS = { path: '/health/ready', port: METRICS_PORT };

interface Instances {
  instances: { status: string; ended_at?: string }[];
}

describe('the image of the node', () => {
  let namespace: Namespace;
  /** Runs the command line inside the worker's pod, against the coordinator's service. */
  const distric = (...args: string[]): Promise<string> =>
    namespace.exec('w1', ['distric', '--server', `http://c1:${HTTP_PORT}`, ...args]);

  beforeAll(async () => {
    namespace = await (await Kube.open()).createNamespace('e2e-image');
    const peers = service('c1-peer', PEER_PORT);
    peers['spec'] = { clusterIP: 'None', publishNotReadyAddresses: true, selector: { app: 'c1' } };
    const coordinators = `c1=c1-peer.${namespace.name}.svc.cluster.local:${PEER_PORT}`;
    const coordinator = {
      ...EVERYWHERE,
      DISTRIC_NODE_ID: 'c1',
      DISTRIC_ROLE: 'coordinator',
      DISTRIC_COORDINATORS: coordinators,
      DISTRIC_PEER_HOST: '0.0.0.0',
      DISTRIC_HTTP_HOST: '0.0.0.0',
      DISTRIC_HTTP_PORT: String(HTTP_PORT),
    };
    const worker = { ...EVERYWHERE, DISTRIC_NODE_ID: 'w1', DISTRIC_ROLE: 'worker', DISTRIC_COORDINATORS: coordinators };
    await namespace.apply([
      service('c1', HTTP_PORT),
      peers,
      pod('c1', { env: coordinator, volumes: { '/data': 'empty', '/tmp': 'empty' }, readinessPath: READINESS }),
      pod('w1', { env: worker, volumes: { '/data': 'empty', '/tmp': 'empty' }, readinessPath: READINESS }),
    ]);
    await namespace.podReady('c1', START_LIMIT_MS);
    await namespace.podReady('w1', START_LIMIT_MS);
  }, TEST_LIMIT_MS);

  afterAll(() => namespace.remove(), TEST_LIMIT_MS);

  it(
    'has the command line, of this version',
    async () => {
      expect((await namespace.exec('w1', ['distric', '--version'])).trim()).toBe(packageVersion());
    },
    TEST_LIMIT_MS,
  );

  it(
    'processes a message that comes through a service',
    async () => {
      await namespace.kubectl(['exec', '--stdin', 'w1', '--', 'sh', '-c', 'cat > /tmp/documents.yaml'], DOCUMENTS);
      await distric('apply', '-f', '/tmp/documents.yaml');
      await distric('send', '{"event_type": "hello"}');
      const instances = await until('all instances have ended', START_LIMIT_MS, async () => {
        const listed = JSON.parse(await distric('instances', 'list', '-o', 'json')) as Instances;
        return listed.instances.every(({ ended_at: endedAt }) => endedAt !== undefined) ? listed.instances : undefined;
      });
      expect(instances.map(({ status }) => status)).toEqual(['COMPLETED']);
    },
    TEST_LIMIT_MS,
  );

  it(
    'ends cleanly when Kubernetes stops its pod',
    async () => {
      const exitCode = '.status.containerStatuses[0].state.terminated.exitCode';
      for (const name of ['w1', 'c1']) {
        // With a finalizer the pod can still be looked at when its containers have ended.
        await namespace.kubectl(['patch', 'pod', name, '--patch', '{"metadata":{"finalizers":["distric.io/look"]}}']);
        await namespace.kubectl(['delete', 'pod', name, '--wait=false']);
        const code = await until(`${name} has ended`, START_LIMIT_MS, async () => {
          const text = await namespace.field(`pod/${name}`, exitCode);
          return text === '' ? undefined : text;
        });
        await namespace.kubectl(['patch', 'pod', name, '--patch', '{"metadata":{"finalizers":null}}']);
        expect(code).toBe('0');
      }
    },
    TEST_LIMIT_MS,
  );
});
