import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { RestClient, problemOf } from './client.ts';
import { EXIT, describeError } from './exit-code.ts';
import { freePorts } from './free-ports.ts';
import { RestPeer } from './rest-peer.ts';

const NO_LEADER = { status: 503, code: 'NO_LEADER', detail: 'an election runs' };

describe('RestClient', () => {
  let peer: RestPeer;
  let other: RestPeer;

  beforeEach(async () => {
    peer = await new RestPeer().listen();
    other = await new RestPeer().listen();
  });

  afterEach(async () => {
    await peer.close();
    await other.close();
  });

  async function downUrl(): Promise<string> {
    const [port] = await freePorts(1);
    return `http://127.0.0.1:${String(port)}`;
  }

  const message = { method: 'POST', path: '/messages', body: '{"n":1}' } as const;

  it('goes on to the next server when one is down, and stays with the one that answered', async () => {
    const client = new RestClient([await downUrl(), peer.url]);
    await client.request(message);
    await client.request(message);
    expect(peer.messages).toHaveLength(2);
    const status = await client.get<{ leader: string }>('/cluster/status', { consistency: 'stale', limit: undefined });
    expect(status.leader).toBe('coordinator-1');
    expect(peer.requests.at(-1)?.url).toBe('/api/v1/cluster/status?consistency=stale');
  });

  it('takes a message that one server refused with 503 to the next', async () => {
    peer.disturbances.push(NO_LEADER);
    await new RestClient([peer.url, other.url]).request(message);
    expect([peer.messages.length, other.messages.length]).toEqual([0, 1]);
  });

  it('asks again while there is no leader, until the time is up', async () => {
    peer.disturbances.push(NO_LEADER, NO_LEADER);
    await new RestClient([peer.url]).request(message);
    expect(peer.requests).toHaveLength(3);
    peer.disturbances.push(...Array.from({ length: 50 }, () => NO_LEADER));
    const failed = new RestClient([peer.url], 300).request(message);
    await expect(failed).rejects.toMatchObject({ exitCode: EXIT.UNAVAILABLE, code: 'NO_LEADER' });
  });

  it('does not call the outcome unknown of a request that is never sent', async () => {
    await new RestClient(['http://127.0.0.1:9', peer.url]).request(message);
    expect(peer.messages).toHaveLength(1);
    const failed = new RestClient(['http://127.0.0.1:9']).request(message);
    await expect(failed).rejects.toMatchObject({ exitCode: EXIT.UNAVAILABLE });
    await expect(failed).rejects.toThrow(/bad port/u);
  });

  it('never sends a message without a key a second time after a cut connection', async () => {
    peer.disturbances.push('cut');
    const failed = new RestClient([peer.url, other.url]).request(message);
    await expect(failed).rejects.toMatchObject({ exitCode: EXIT.FAILURE });
    await expect(failed).rejects.toThrow(/outcome is unknown/u);
    expect(other.requests).toHaveLength(0);
  });

  it('sends a message with a key again after a cut connection and after 504', async () => {
    peer.disturbances.push('cut');
    other.disturbances.push({ status: 504, code: 'OUTCOME_UNKNOWN', detail: 'no majority in time' });
    await new RestClient([peer.url, other.url]).request({ ...message, idempotencyKey: 'k1' });
    const keys = [...peer.requests, ...other.requests].map(({ headers }) => headers['idempotency-key']);
    expect(keys).toEqual(['k1', 'k1', 'k1']);
    expect(peer.messages.length + other.messages.length).toBe(1);
  });

  it('tells the fields of a refusal', async () => {
    const failed = new RestClient([peer.url]).put('/workflow-definitions/w', {
      id: 'w',
      tasks: [{ id: 'a', typ: 'x' }],
    });
    await expect(failed).rejects.toMatchObject({ status: 400, exitCode: EXIT.REFUSED });
    const error = await failed.catch((reason: unknown) => reason);
    expect(describeError(error)).toMatch(/\n {2}tasks\[0\]/u);
  });

  it('names every server when none answers', async () => {
    const servers = [await downUrl(), await downUrl()];
    const failed = new RestClient(servers).get('/rules');
    await expect(failed).rejects.toMatchObject({ exitCode: EXIT.UNAVAILABLE });
    const error = await failed.catch((reason: unknown) => reason);
    for (const server of servers) expect(describeError(error)).toContain(`${server}: ECONNREFUSED`);
  });

  it('says so when the server is something else', async () => {
    peer.disturbances.push({ status: 200, raw: '<html>' });
    await expect(new RestClient([peer.url]).get('/rules')).rejects.toThrow(/is it a DistriC coordinator/u);
  });
});

describe('problemOf()', () => {
  it('quotes a body that is no problem document, without control characters', () => {
    const error = problemOf(502, '<h1>\u001b[31mBad gateway</h1>');
    expect(error.message).toBe('HTTP_502: <h1> [31mBad gateway</h1>');
    expect(error.exitCode).toBe(EXIT.FAILURE);
  });

  it('ignores entries of errors that name no field', () => {
    const body = { code: 'INVALID_MESSAGE', detail: 'no', errors: [1, { field: 'a' }, { field: 'a', reason: 'b' }] };
    expect(problemOf(400, JSON.stringify(body)).fields).toEqual([{ field: 'a', reason: 'b' }]);
  });
});
