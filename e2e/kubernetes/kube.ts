/**
 * The Kubernetes that the suites of this folder use: the one of `E2E_KUBECONFIG` (its nodes must have the images), or
 * the test cluster, which must be up (`npm run cluster -- up --nodes 2`, then `load`). With neither a suite fails.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { ADMIN_KUBECONFIG } from '../cluster/layout.ts';
import { buildPrograms } from '../cluster/programs.ts';
import { until } from '../until.ts';

const run = promisify(execFile);
const COMMAND_LIMIT_MS = 120_000;
const OUTPUT_BYTES_MAX = 64 * 1024 ** 2;

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  [field: string]: unknown;
}

export class Kube {
  readonly kubeconfig: string;
  /** Parts of the cluster can be stopped and started again. */
  readonly isOwn: boolean;
  readonly #kubectl: string;

  private constructor(kubeconfig: string, kubectl: string, isOwn: boolean) {
    this.kubeconfig = kubeconfig;
    this.#kubectl = kubectl;
    this.isOwn = isOwn;
  }

  static async open(): Promise<Kube> {
    const given = process.env['E2E_KUBECONFIG'];
    if (given !== undefined) return new Kube(given, 'kubectl', false);
    if (!existsSync(ADMIN_KUBECONFIG))
      throw new Error('there is no cluster: npm run cluster -- up --nodes 2; npm run cluster -- load');
    const { kubectl } = await buildPrograms(() => undefined);
    return new Kube(ADMIN_KUBECONFIG, kubectl, true);
  }

  /** Rejects with what kubectl said. */
  async kubectl(args: readonly string[], input?: string): Promise<string> {
    const options = { timeout: COMMAND_LIMIT_MS, maxBuffer: OUTPUT_BYTES_MAX };
    const running = run(this.#kubectl, ['--kubeconfig', this.kubeconfig, ...args], options);
    running.child.stdin?.end(input ?? '');
    return (await running).stdout;
  }

  async apply(objects: readonly KubeObject[]): Promise<void> {
    const documents = objects.map((object) => stringify(object, { aliasDuplicateObjects: false })).join('---\n');
    await this.kubectl(['apply', '--server-side', '--filename', '-'], documents);
  }

  /** A namespace that lets in only pods of the restricted Pod Security level. */
  async createNamespace(prefix: string): Promise<Namespace> {
    const name = `${prefix}-${Math.floor(Date.now() / 1_000).toString(36)}`;
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await this.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }]);
    return new Namespace(this, name);
  }
}

export class Namespace {
  readonly kube: Kube;
  readonly name: string;

  constructor(kube: Kube, name: string) {
    this.kube = kube;
    this.name = name;
  }

  kubectl(args: readonly string[], input?: string): Promise<string> {
    return this.kube.kubectl(['--namespace', this.name, ...args], input);
  }

  apply(objects: readonly KubeObject[]): Promise<void> {
    const inHere = (object: KubeObject): KubeObject => ({
      ...object,
      metadata: { ...object.metadata, namespace: this.name },
    });
    return this.kube.apply(objects.map(inHere));
  }

  /** One field of an object, by a JSONPath. */
  field(object: string, path: string): Promise<string> {
    return this.kubectl(['get', object, '--output', `jsonpath={${path}}`]);
  }

  /** What `kubectl describe` and the logs tell is in the error when it is not so in time. */
  async podReady(pod: string, timeoutMs: number): Promise<void> {
    try {
      await until(`${pod} is ready`, timeoutMs, async () => {
        const ready = await this.field(`pod/${pod}`, '.status.conditions[?(@.type=="Ready")].status');
        return ready === 'True' ? true : undefined;
      });
    } catch (error) {
      const told = await Promise.allSettled([this.kubectl(['describe', 'pod', pod]), this.kubectl(['logs', pod])]);
      const text = told.map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason))).join('\n');
      throw new Error(`${String(error)}\n${text}`, { cause: error });
    }
  }

  exec(pod: string, command: readonly string[]): Promise<string> {
    return this.kubectl(['exec', pod, '--', ...command]);
  }

  /** Begins the deletion of all that is in it. */
  async remove(): Promise<void> {
    await this.kube.kubectl(['delete', 'namespace', this.name, '--wait=false']);
  }
}
