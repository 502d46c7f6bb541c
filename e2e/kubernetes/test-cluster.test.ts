/** What the other suites take for granted of the Kubernetes that they run on. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../until.ts';
import { Kube, type Namespace } from './kube.ts';
import { claim, pod, service } from './objects.ts';

const START_LIMIT_MS = 60_000;
const TEST_LIMIT_MS = 120_000;
const PORT = 8_080;

/** Says which pod it is, to everybody that asks. */
const SERVER = `require('node:http').createServer((_, answer) => answer.end(process.env.HOSTNAME)).listen(${PORT});
process.once('SIGTERM', () => process.exit(0));`;

const IDLE = { command: ['node', '-e', 'setInterval(() => 0, 1e6)'] };

describe('the Kubernetes of the tests', () => {
  let kube: Kube;
  let namespace: Namespace;
  let nodes: string[];

  beforeAll(async () => {
    kube = await Kube.open();
    namespace = await kube.createNamespace('e2e-cluster');
    nodes = (await kube.kubectl(['get', 'nodes', '--output', 'jsonpath={.items[*].metadata.name}'])).split(' ');
  }, TEST_LIMIT_MS);

  afterAll(() => namespace.remove(), TEST_LIMIT_MS);

  it(
    'brings pods of every node together by the name of a service',
    async () => {
      const onNode = (node: string): string => `server-${node}`;
      for (const node of nodes) {
        const name = onNode(node);
        const options = { node, command: ['node', '-e', SERVER], readinessPath: { path: '/', port: PORT } };
        await namespace.apply([pod(name, options), service(name, PORT)]);
      }
      for (const node of nodes) await namespace.podReady(onNode(node), START_LIMIT_MS);
      const ask = (name: string): string =>
        `fetch('http://${name}.${namespace.name}.svc.cluster.local:${PORT}').then((r) => r.text()).then(console.log)`;
      for (const from of nodes) {
        for (const to of nodes) {
          const answer = await until(`${from} reaches ${to}`, START_LIMIT_MS, () =>
            namespace.exec(onNode(from), ['node', '-e', ask(onNode(to))]),
          );
          expect(answer.trim()).toBe(onNode(to));
        }
      }
    },
    TEST_LIMIT_MS,
  );

  it(
    'keeps the volume of a pod that is not root, for the next one',
    async () => {
      await namespace.apply([claim('kept', '1Gi')]);
      const idle = { volumes: { '/data': { claim: 'kept' } }, ...IDLE };
      await namespace.apply([pod('writer', idle)]);
      await namespace.podReady('writer', START_LIMIT_MS);
      await namespace.exec('writer', ['node', '-e', "require('node:fs').writeFileSync('/data/note', 'still here')"]);
      await namespace.kubectl(['delete', 'pod', 'writer', '--grace-period=0', '--force']);
      await namespace.apply([pod('reader', idle)]);
      await namespace.podReady('reader', START_LIMIT_MS);
      const note = await namespace.exec('reader', ['cat', '/data/note']);
      expect(note).toBe('still here');
    },
    TEST_LIMIT_MS,
  );

  it(
    'enlarges a volume when its claim says so, and removes it with its claim',
    async () => {
      await namespace.apply([
        claim('growing', '1Gi'),
        pod('grower', { volumes: { '/data': { claim: 'growing' } }, ...IDLE }),
      ]);
      await namespace.podReady('grower', START_LIMIT_MS);
      const volume = await namespace.field('pvc/growing', '.spec.volumeName');
      await namespace.apply([claim('growing', '2Gi')]);
      const capacity = await until('the claim has grown', START_LIMIT_MS, async () => {
        const now = await namespace.field('pvc/growing', '.status.capacity.storage');
        return now === '1Gi' ? undefined : now;
      });
      expect(capacity).toBe('2Gi');
      await namespace.kubectl(['delete', 'pod/grower', 'pvc/growing', '--grace-period=0', '--force']);
      await until('the volume is gone', START_LIMIT_MS, async () => {
        const left = await kube.kubectl(['get', 'pv', '--output', 'name']);
        return left.includes(volume) ? undefined : true;
      });
    },
    TEST_LIMIT_MS,
  );

  it(
    'refuses a pod that the restricted level does not let in',
    async () => {
      const lax = pod('lax', {});
      const container = { name: 'main', image: 'none', securityContext: { privileged: true } };
      const refused = namespace.apply([{ ...lax, spec: { containers: [container] } }]);
      await expect(refused).rejects.toThrow('violates PodSecurity "restricted');
    },
    TEST_LIMIT_MS,
  );
});
