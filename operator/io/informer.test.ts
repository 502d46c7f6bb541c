import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { KubeObject } from '../planner/model.ts';
import { Informer } from './informer.ts';
import { isStatus, KubeClient } from './kube-client.ts';
import { accessTo, TestApiServer } from './test-api-server.ts';

const PODS = '/api/v1/namespaces/shop/pods';
const POD = { apiVersion: 'v1', kind: 'Pod' };
const LIMIT_MS = 20_000;

let api: TestApiServer;
let client: KubeClient;
let informer: Informer;
let changes: string[];
const warnings: string[] = [];

const pod = (name: string, labels: Record<string, string> = {}): KubeObject => ({
  ...POD,
  metadata: { name, namespace: 'shop', labels },
});

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await delay(10);
  }
}

const names = (): string[] => [...informer.all()].map(({ metadata }) => metadata.name).sort();

beforeEach(async () => {
  api = await new TestApiServer().listen();
  client = new KubeClient(api.access());
  changes = [];
  warnings.length = 0;
  informer = new Informer({
    client,
    kind: POD,
    namespace: 'shop',
    onChange: ({ metadata }) => changes.push(metadata.name),
    log: { warn: (_fields, text) => warnings.push(text) },
    random: () => 0,
  });
});

afterEach(async () => {
  await informer.stop();
  api.close();
});

describe('an informer', () => {
  it('has what there is, and follows it', async () => {
    api.put(`${PODS}/a`, pod('a'));
    await informer.start();
    expect(names()).toEqual(['a']);
    await until('it watches', () => api.watches.size > 0);
    api.put(`${PODS}/b`, pod('b'));
    api.put(`${PODS}/a`, pod('a', { changed: 'yes' }));
    await until('all came', () => changes.length === 3);
    expect(informer.get('shop', 'a')?.metadata.labels).toEqual({ changed: 'yes' });
    api.remove(`${PODS}/b`);
    await until('it is gone', () => names().join() === 'a');
    expect(changes).toEqual(['a', 'b', 'a', 'b']);
  });

  it('goes on after a watch that ended, from where it was', async () => {
    await informer.start();
    await until('it watches', () => api.watches.size > 0);
    api.tell('BOOKMARK', { metadata: { name: '', resourceVersion: '77' } });
    api.endWatches();
    await until('it watches again', () => api.watches.size > 0);
    const last = api.requests.at(-1);
    expect(last?.url.searchParams.get('resourceVersion')).toBe('77');
  });

  it('lists anew after 410, and tells what has gone meanwhile', async () => {
    api.put(`${PODS}/a`, pod('a'));
    await informer.start();
    await until('it watches', () => api.watches.size > 0);
    api.objects.clear();
    api.tell('ERROR', { code: 410, message: 'too old' });
    api.endWatches();
    await until('it is forgotten', () => names().length === 0);
    expect(changes).toEqual(['a', 'a']);
  });

  it('survives errors of the server, and waits for a kind that comes late', async () => {
    api.faults.push({ status: 404, reason: 'NotFound' }, { status: 500, reason: '' }, { status: 429, reason: '' });
    await informer.start();
    expect(warnings.length).toBe(3);
  });
});

describe('the client', () => {
  it('applies with its content type, as the one manager of its fields', async () => {
    await client.apply(pod('a'));
    const { method, url, contentType } = api.requests.at(-1)!;
    expect([method, contentType]).toEqual(['PATCH', 'application/apply-patch+yaml']);
    expect(url.searchParams.get('fieldManager')).toBe('distric-operator');
    expect(url.searchParams.get('force')).toBe('true');
  });

  it('patches as another manager, so that apply takes nothing from it', async () => {
    await client.patch(POD, 'shop', 'a', { spec: {} }, 'scale');
    const { url, contentType } = api.requests.at(-1)!;
    expect(contentType).toBe('application/merge-patch+json');
    expect(url.pathname).toBe(`${PODS}/a/scale`);
    expect(url.searchParams.get('fieldManager')).not.toBe('distric-operator');
  });

  it('tells refusals with their status, and that nobody answers as 0', async () => {
    await client.list(POD, 'shop');
    api.faults.push({ status: 409, reason: 'Conflict' });
    const refused: unknown = await client.create(pod('a')).catch((error: unknown) => error);
    expect(isStatus(refused, 409)).toBe(true);
    const nobody = new KubeClient(accessTo('http://127.0.0.1:1'));
    const lost: unknown = await nobody.list(POD, 'shop').catch((error: unknown) => error);
    expect(isStatus(lost, 0)).toBe(true);
  });

  it('asks the server which kinds it has, each time anew', async () => {
    expect(await client.knows(POD)).toBe(true);
    expect(await client.knows({ apiVersion: 'v1', kind: 'Unheard' })).toBe(false);
    api.faults.push({ status: 404, reason: 'NotFound' });
    expect(await client.knows(POD)).toBe(false);
    const lost: unknown = await client.get({ apiVersion: 'v1', kind: 'Unheard' }, 'shop', 'a');
    expect(lost).toBeUndefined();
  });

  it('takes what an event brings about for a failure of the watch when it throws', async () => {
    const watch = client.watch(POD, 'shop', {}, new AbortController().signal, () => {
      throw new Error('broken');
    });
    const failed = watch.catch((error: unknown) => error);
    await until('it watches', () => api.watches.size > 0);
    api.put(`${PODS}/a`, pod('a'));
    expect(await failed).toEqual(new Error('broken'));
  });

  it('deletes what is gone already without a word', async () => {
    await client.list(POD, 'shop');
    api.faults.push({ status: 404, reason: 'NotFound' });
    await client.delete(POD, 'shop', 'a', 'u-1');
    expect(api.requests.at(-1)?.body).toMatchObject({ preconditions: { uid: 'u-1' } });
    expect(await client.get(POD, 'shop', 'a')).toBeUndefined();
  });
});
