import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { KubeObject } from '../planner/model.ts';
import { KubeClient } from './kube-client.ts';
import { LeaderElection } from './leader-election.ts';
import { TestApiServer } from './test-api-server.ts';

const LEASE = '/apis/coordination.k8s.io/v1/namespaces/shop/leases/operator';

let api: TestApiServer;
const elections: LeaderElection[] = [];

beforeEach(async () => {
  api = await new TestApiServer().listen();
});

afterEach(async () => {
  await Promise.all(elections.splice(0).map((election) => election.release()));
  api.close();
});

function candidate(identity: string, onLost: (reason: string) => void = () => undefined): LeaderElection {
  const client = new KubeClient(api.access());
  const election = new LeaderElection({ client, namespace: 'shop', name: 'operator', identity, onLost });
  elections.push(election);
  return election;
}

const holder = (): unknown => (api.objects.get(LEASE)?.['spec'] as { holderIdentity?: string }).holderIdentity;

describe('the lease', () => {
  it('is taken when nobody has it, and given back at the end', async () => {
    const first = candidate('a');
    expect(await first.acquire()).toBe(true);
    expect(holder()).toBe('a');
    expect((api.objects.get(LEASE)?.['spec'] as { renewTime: string }).renewTime).toMatch(/\.\d{6}Z$/);
    await first.release();
    expect(holder()).toBe('');
    expect(await candidate('b').acquire()).toBe(true);
    expect(holder()).toBe('b');
  });

  it('is left to whoever renews it', async () => {
    await candidate('a').acquire();
    const second = candidate('b');
    const acquired = second.acquire();
    await second.release();
    expect(await acquired).toBe(false);
    expect(holder()).toBe('a');
  });

  it('that another one holds by now ends this one', async () => {
    const lost = new Promise<string>((resolve) => void candidate('a', resolve).acquire());
    while (!api.objects.has(LEASE)) await new Promise((resolve) => setTimeout(resolve, 5));
    const lease = api.objects.get(LEASE) as KubeObject;
    api.put(LEASE, { ...lease, spec: { ...(lease['spec'] as object), holderIdentity: 'b' } });
    expect(await lost).toContain('another operator');
  });
});
