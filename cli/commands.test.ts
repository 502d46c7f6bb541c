import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import type { CapturedIoOptions } from './captured-io.ts';
import { CommandRoom } from './command-room.ts';
import type { CommandResult } from './command-room.ts';
import { EXIT } from './exit-code.ts';
import type { RestPeer } from './rest-peer.ts';

const RULE = {
  id: 'high-value',
  priority: 100,
  conditions: { field: 'amount', op: 'greater_than', value: 100 },
  actions: [{ workflow: 'fraud-check' }],
};
const WORKFLOW = { id: 'fraud-check', tasks: [{ id: 'load', type: 'http' }] };
const YAML = `# two documents
rules:
  - id: high-value
    priority: 100
    conditions: { field: amount, op: greater_than, value: 100 }
    actions: [{ workflow: fraud-check }]
---
workflow: { id: fraud-check, tasks: [{ id: load, type: http }] }
---
apiVersion: distric.io/v1alpha1
kind: DistricCluster
metadata: { name: mine }
`;

let peer: RestPeer;
let room: CommandRoom;

beforeEach(async () => {
  room = await CommandRoom.open();
  ({ peer } = room);
});

afterEach(() => room.close());

function distric(argv: string[], options: CapturedIoOptions = {}): Promise<CommandResult> {
  return room.distric(argv, options);
}

function write(name: string, text: string): Promise<void> {
  return room.write(name, text);
}

describe('distric send', () => {
  it('sends a JSON text as it is, with a key of its own', async () => {
    const { lines, exitCode } = await distric(['send', '{"amount": 1.0}']);
    expect(exitCode).toBe(EXIT.OK);
    expect(lines).toEqual(['message/m-0 accepted', '  workflow/fraud-check started as i-m-0']);
    expect(peer.requests[0]?.body).toBe('{"amount": 1.0}');
    expect(peer.requests[0]?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/u);
  });

  it('sends a file with an event type and a key', async () => {
    await write('opened.json', '{"number":7}');
    const { out } = await distric(['send', 'opened.json', '--event-type', 'pull_request', '--key', 'k', '-o', 'yaml']);
    expect(parse(out)).toMatchObject({ message_id: 'm-0', duplicate: false });
    expect(peer.messages[0]?.payload).toEqual({ number: 7, event_type: 'pull_request' });
    expect(peer.requests[0]?.headers['idempotency-key']).toBe('k');
  });

  it('sends NDJSON in requests of at most 500 lines, and numbers the items through', async () => {
    const text = Array.from({ length: 501 }, (_, n) => `{"n":${String(n)}}`).join('\n\n');
    const { out, exitCode } = await distric(['send', '--ndjson', '-', '-o', 'json'], { stdin: `${text}\n3\n` });
    const result = JSON.parse(out) as { accepted: number; items: { index: number; code?: string }[] };
    expect(peer.requests.map(({ body }) => body.trimEnd().split('\n').length)).toEqual([500, 2]);
    expect(result.accepted).toBe(501);
    expect(result.items.map(({ index }) => index)).toEqual(Array.from({ length: 502 }, (_, n) => n));
    expect(result.items.at(-1)?.code).toBe('INVALID_MESSAGE');
    expect(exitCode).toBe(EXIT.REFUSED);
  });

  it('tells which items of an array were refused', async () => {
    const { lines, err, exitCode } = await distric(['send', '[{"a":1},5]']);
    expect(lines).toEqual([
      'item 1 refused: INVALID_MESSAGE: send an object',
      '  $: must be an object',
      '1 accepted, 1 refused',
    ]);
    expect(err).toBe('error: 1 of 2 not accepted\n');
    expect(exitCode).toBe(EXIT.REFUSED);
  });

  it('refuses a key for many messages, an event type for no object, and input that is no file', async () => {
    expect((await distric(['send', '[]', '--key', 'k'])).exitCode).toBe(EXIT.USAGE);
    expect((await distric(['send', '[1]', '--event-type', 't'])).exitCode).toBe(EXIT.REFUSED);
    expect((await distric(['send', 'none.json'])).exitCode).toBe(EXIT.NOT_FOUND);
    expect(peer.requests).toEqual([]);
  });

  it('tells what was kept when a later request fails', async () => {
    const text = Array.from({ length: 501 }, () => '{}').join('\n');
    const tooLarge = { status: 413, code: 'PAYLOAD_TOO_LARGE', detail: 'too large' };
    peer.disturbances.push(
      {
        status: 202,
        raw: JSON.stringify({ items: [{ index: 0, status: 'accepted' }], accepted: 1, refused: 0, unknown: 0 }),
      },
      tooLarge,
    );
    const { err, exitCode } = await distric(['send', '--ndjson', '-'], { stdin: text });
    expect(exitCode).toBe(EXIT.REFUSED);
    expect(err).toContain('the 1 messages before: 1 accepted, 0 refused');
  });
});

describe('distric status', () => {
  it('begins with the three lines of the overview, under both names', async () => {
    const { lines } = await distric(['status']);
    expect(lines.slice(0, 3)).toEqual([
      'Leader: coordinator-1',
      'Coordinators: 3 (2 followers, 1 leader)',
      'Workers: 2 alive, 1 suspected',
    ]);
    expect(lines).toContain('Worker    Status     Address      Load  Running  Task types');
    expect(lines).toContain('worker-1  alive      127.0.0.1:5  25%   4/16     http');
    expect((await distric(['cluster', 'status', '--stale'])).lines).toEqual(lines);
    expect(peer.requests.at(-1)?.url).toContain('consistency=stale');
  });

  it('says when datagrams do not come through', async () => {
    const { lines } = await distric(['status']);
    expect(lines).toContainEqual(expect.stringMatching(/^Gossip: datagrams .* do not come through.*; 5 alive, 1 susp/));
  });

  it('has colours on a terminal only, and not with NO_COLOR', async () => {
    const env = { DISTRIC_SERVER: peer.url };
    expect((await distric(['status'], { isTTY: true, env })).out).toContain('\u001b[');
    expect((await distric(['status'], { isTTY: true, env: { ...env, NO_COLOR: '1' } })).out).not.toContain('\u001b[');
    expect((await distric(['status'], { env })).out).not.toContain('\u001b[');
  });
});

describe('distric cluster nodes', () => {
  it('lists every node with what it tells of itself', async () => {
    const { lines } = await distric(['cluster', 'nodes']);
    expect(lines.map((line) => line.split(/ {2,}/))).toEqual([
      ['Node', 'Role', 'Status', 'Address', 'Zone', 'Version', 'Labels'],
      ['coordinator-1', 'coordinator', 'alive', '127.0.0.1:1', '-', '1.2.3'],
      ['worker-2', 'worker', 'suspected', '127.0.0.1:6', 'eu-1a', '1.2.3', 'gpu=yes, disk=ssd'],
    ]);
  });
});

describe('distric top', () => {
  it('shows coordinators and workers once, those with most to do first', async () => {
    const { lines } = await distric(['top', '--once']);
    expect(lines[0]).toBe('Leader: coordinator-1');
    const rows = lines.map((line) => line.split(/ {2,}/));
    expect(rows).toContainEqual(['coordinator-1', 'leader', 'alive', '90s', '0', '-', '1.2.3']);
    const workers = rows.filter(([id]) => id?.startsWith('worker-') === true);
    expect(workers.map(([id]) => id)).toEqual(['worker-1', 'worker-2', 'worker-3']);
    expect(lines).toContainEqual(
      expect.stringMatching(/^worker-2 +suspected +suspected +2h +\.{10} +0% +0\/16 +eu-1a/),
    );
  });

  it('gives programs both answers, once', async () => {
    const { out } = await distric(['top', '-o', 'json']);
    expect(JSON.parse(out)).toMatchObject({ status: { leader: 'coordinator-1' }, nodes: { gossip: 'on' } });
  });

  it('draws anew until it is ended', async () => {
    const end = new AbortController();
    let drawn = 0;
    const onWrite = (text: string): void => {
      if (text.startsWith('Leader') && ++drawn === 3) end.abort();
    };
    const env = { DISTRIC_SERVER: peer.url, NO_COLOR: '1' };
    const options = { isTTY: true, env, signal: end.signal, onWrite };
    const { out, exitCode } = await distric(['top', '--interval', '0.1'], options);
    expect([exitCode, out.split('\u001b[H\u001b[J').length - 1]).toEqual([0, 3]);
  });
});

describe('distric rules', () => {
  it('lists by priority, gets and deletes', async () => {
    await write('rules.json', JSON.stringify([{ ...RULE, id: 'low', priority: 1, enabled: false }, RULE]));
    await distric(['apply', '-f', 'rules.json']);
    expect((await distric(['rules', 'list'])).lines).toEqual([
      'ID          Version  Priority  Enabled  Workflows',
      'high-value  1        100       true     fraud-check',
      'low         1        1         false    fraud-check',
    ]);
    expect(parse((await distric(['rules', 'get', 'low'])).out)).toMatchObject({ id: 'low', priority: 1 });
    expect((await distric(['rules', 'delete', 'low'])).out).toBe('rule/low deleted\n');
    const gone = await distric(['rules', 'get', 'low']);
    expect(gone).toMatchObject({ exitCode: EXIT.NOT_FOUND, err: 'error: NOT_FOUND: there is no "low"\n' });
  });

  it('reloads a file, and with --prune deletes the others', async () => {
    peer.rules.set('old', { ...RULE, id: 'old' });
    await write('rules.yaml', YAML);
    const kept = await distric(['rules', 'reload', '-f', 'rules.yaml']);
    expect(kept.err).toMatch(/^Reloading rules from rules\.yaml\.\.\.\n/u);
    expect(kept.out).toBe('Successfully reloaded 1 rules (version 123)\n');
    expect([...peer.rules.keys()]).toEqual(['old', 'high-value']);
    expect(peer.workflows.size).toBe(0);
    const pruned = await distric(['rules', 'reload', '-f', 'rules.yaml', '--prune', '-o', 'json']);
    expect(JSON.parse(pruned.out)).toMatchObject({ deleted: ['old'] });
    expect([...peer.rules.keys()]).toEqual(['high-value']);
  });
});

describe('distric definitions', () => {
  it('lists, gets and deletes', async () => {
    await write('w.json', JSON.stringify(WORKFLOW));
    await distric(['apply', '-f', 'w.json']);
    expect((await distric(['definitions', 'list'])).lines).toEqual([
      'ID           Version  Revision  Tasks  Waiting for types',
      'fraud-check  1        1         1      -',
    ]);
    expect(parse((await distric(['definitions', 'get', 'fraud-check'])).out)).toMatchObject({ id: 'fraud-check' });
    const { out } = await distric(['definitions', 'delete', 'fraud-check', '-o', 'json']);
    expect(JSON.parse(out)).toEqual({ deleted: ['fraud-check'] });
    expect(peer.workflows.size).toBe(0);
  });
});

describe('distric instances', () => {
  it('lists with the columns of the overview first, passes the filters on, and names the next page', async () => {
    const { lines, err } = await distric(['workflows', 'list', '--status=running', '--workflow', 'w', '--limit', '5']);
    expect(lines).toEqual([
      'Workflow ID  Started           Tasks (Running/Total)  Status  Workflow     Took',
      'wf-abc123    2026-01-13 10:25  0/2                    FAILED  fraud-check  3.0s',
    ]);
    expect(err).toBe('more: --cursor after-1\n');
    expect(peer.requests[0]?.url).toBe('/api/v1/workflows?status=running&workflow=w&limit=5');
    expect((await distric(['instances', 'list'])).lines).toEqual(lines);
  });

  it('shows the tasks of one, with the error on one line and without its control characters', async () => {
    const { lines } = await distric(['instances', 'get', 'wf-abc123']);
    expect(lines).toEqual([
      'Instance: wf-abc123',
      'Workflow: fraud-check, revision 2',
      'Status: FAILED',
      'Started: 2026-01-13 10:25, took 3.0s',
      'Message: m-1, rule: high-value',
      'Tasks: 1 of 2 done, 0 running',
      'Error: TASK_FAILED: task score failed',
      '',
      'Task   Type          Status     Attempts  Worker    Duration  Error',
      'load   http          COMPLETED  1         worker-1  -         -',
      'score  ml_inference  FAILED     3         worker-2  250ms     no [31m model at all',
    ]);
  });

  it('cancels', async () => {
    expect((await distric(['instances', 'cancel', 'wf-abc123'])).out).toBe('instance/wf-abc123 cancelled\n');
    expect(peer.requests.at(-1)).toMatchObject({ method: 'POST', url: '/api/v1/workflows/wf-abc123/cancel' });
    expect((await distric(['instances', 'cancel', 'a/b'])).exitCode).toBe(EXIT.NOT_FOUND);
    expect(peer.requests.at(-1)?.url).toBe('/api/v1/workflows/a%2Fb/cancel');
  });
});

describe('distric messages', () => {
  it('lists and gets', async () => {
    await distric(['send', '{"event_type":"payment"}']);
    const { lines } = await distric(['messages', 'list']);
    expect(lines[0]).toBe('ID   Received          Event type  Rules');
    expect(lines[1]).toMatch(/^m-0 {2}\d{4}-\d\d-\d\d \d\d:\d\d {2}payment {5}high-value$/u);
    expect(parse((await distric(['messages', 'get', 'm-0'])).out)).toMatchObject({
      payload: { event_type: 'payment' },
    });
  });
});
