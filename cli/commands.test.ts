import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { captureIo } from './captured-io.ts';
import type { CapturedIoOptions } from './captured-io.ts';
import { EXIT } from './exit-code.ts';
import { run } from './program.ts';
import { RestPeer } from './rest-peer.ts';

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

let cwd: string;
let peer: RestPeer;

beforeEach(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'distric-cli-'));
  peer = await new RestPeer().listen();
});

afterEach(async () => {
  await peer.close();
  await rm(cwd, { recursive: true });
});

async function distric(argv: string[], options: CapturedIoOptions = {}) {
  const io = captureIo({ cwd, env: { DISTRIC_SERVER: peer.url }, ...options });
  const exitCode = await run(argv, io);
  return { exitCode, out: io.out(), err: io.err(), lines: io.out().trimEnd().split('\n') };
}

function write(name: string, text: string): Promise<void> {
  return writeFile(path.join(cwd, name), text);
}

describe('distric apply', () => {
  it('puts workflows first, then rules, and tells what changed', async () => {
    await write('all.yaml', YAML);
    const first = await distric(['apply', '-f', 'all.yaml']);
    expect(first).toMatchObject({ exitCode: EXIT.OK });
    expect(first.lines).toEqual([
      'workflow/fraud-check created',
      'rule/high-value created',
      '2 created, 0 configured, 0 unchanged',
    ]);
    expect(first.err).toBe(
      'warning: all.yaml#3: left out: distric.io/v1alpha1 DistricCluster is neither a Rule nor a Workflow\n',
    );
    expect(peer.rules.get('high-value')).toMatchObject({ ...RULE, version: 1, enabled: true });

    await write('all.yaml', YAML.replace('priority: 100', 'priority: 90'));
    const second = await distric(['apply', '-f', 'all.yaml', '-o', 'json']);
    expect(JSON.parse(second.out)).toEqual([
      { kind: 'workflow', id: 'fraud-check', action: 'unchanged', dry_run: false },
      { kind: 'rule', id: 'high-value', action: 'configured', dry_run: false },
    ]);
    expect(peer.rules.get('high-value')).toMatchObject({ priority: 90 });
  });

  it('changes nothing in a dry run', async () => {
    const { lines, exitCode } = await distric(['apply', '--dry-run', '-f', '-'], { stdin: YAML });
    expect(exitCode).toBe(EXIT.OK);
    expect(lines).toContain('rule/high-value created (dry run)');
    expect(peer.requests.filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  it('reads a directory with all below it, and leaves plugins, events and hidden folders alone', async () => {
    await mkdir(path.join(cwd, 'docs/deeper'), { recursive: true });
    await mkdir(path.join(cwd, 'docs/node_modules'));
    await write('docs/deeper/rule.json', JSON.stringify(RULE));
    await write('docs/workflow.yml', `workflow: ${JSON.stringify(WORKFLOW)}`);
    await write('docs/node_modules/other.json', JSON.stringify({ ...RULE, id: 'foreign' }));
    await write('docs/notify.plugin.ts', 'not yaml: [');
    await write('docs/event.json', JSON.stringify({ action: 'completed', workflow: { id: 7 }, repository: {} }));
    const { lines, err } = await distric(['apply', '-f', 'docs']);
    expect(lines.slice(0, 2)).toEqual(['workflow/fraud-check created', 'rule/high-value created']);
    expect(err).toBe('warning: docs/event.json: left out: neither a rule nor a workflow\n');
  });

  it('names the document that the cluster refuses, and what was applied before', async () => {
    await write('all.yaml', YAML);
    const pass = [404, 200].map((status) => ({ status, code: 'NOT_FOUND', detail: 'none' }));
    peer.disturbances.push(
      ...pass,
      { status: 404, code: 'NOT_FOUND', detail: 'none' },
      { status: 422, code: 'UNKNOWN_WORKFLOW', detail: 'no such workflow' },
    );
    const { exitCode, err } = await distric(['apply', '-f', 'all.yaml']);
    expect(exitCode).toBe(EXIT.REFUSED);
    expect(err).toContain(
      'rule/high-value (all.yaml#1) refused: UNKNOWN_WORKFLOW: no such workflow (1 of 2 documents applied)',
    );
  });
});

describe('distric validate', () => {
  it('accepts the real examples without a cluster', async () => {
    const folder = path.join(import.meta.dirname, '../examples/github');
    const { exitCode, out, err } = await distric(['validate', '-f', folder, '-o', 'json'], { env: {} });
    expect({ exitCode, err: err.includes('error') }).toEqual({ exitCode: EXIT.OK, err: false });
    const found = JSON.parse(out) as { rules: string[]; workflows: string[] };
    expect(found.rules.length).toBeGreaterThanOrEqual(10);
    expect(found.workflows.length).toBeGreaterThanOrEqual(5);
  });

  it('tells every fault of every document, by file and field', async () => {
    const bad = `workflow: { id: a, tasks: [{ id: x, type: log, depends_on: [y] }] }
---
n: 12345678901234567890
---
a: [1
`;
    await write('bad.yaml', bad);
    await write('bad.json', '{"a":1,"a":2}');
    await write('list.json', '[1]');
    const { exitCode, err } = await distric(['validate', '-f', 'bad.yaml', 'bad.json', '-f', 'list.json']);
    expect(exitCode).toBe(EXIT.REFUSED);
    expect(err).toMatch(/bad\.yaml#1: workflow\.tasks\[0\]\.depends_on\[0\]: unknown task "y"/u);
    expect(err).toMatch(/bad\.yaml#2: the integer 12345678901234567890 is beyond 2\^53/u);
    expect(err).toMatch(/bad\.yaml#3: .*line \d/u);
    expect(err).toMatch(/bad\.json: .*a: duplicate key/u);
    expect(err).toMatch(/list\.json/u);
  });

  it('refuses an id that two files define, and a file that is missing', async () => {
    await write('a.json', JSON.stringify(RULE));
    await write('b.json', JSON.stringify({ rule: RULE }));
    const twice = await distric(['validate', '-f', 'a.json', 'b.json']);
    expect(twice.exitCode).toBe(EXIT.REFUSED);
    expect(twice.err).toContain('b.json: rule "high-value" is also defined in a.json');
    expect((await distric(['validate', '-f', 'none.yaml'])).exitCode).toBe(EXIT.NOT_FOUND);
  });

  it('warns of a workflow that no file defines', async () => {
    await write('a.json', JSON.stringify(RULE));
    const { exitCode, err, out } = await distric(['validate', '-f', 'a.json']);
    expect(exitCode).toBe(EXIT.OK);
    expect(err).toBe('warning: a.json: rule high-value starts fraud-check, which no file here defines\n');
    expect(out).toBe('valid: 0 workflows, 1 rule\n');
  });
});

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

  it('has colours on a terminal only, and not with NO_COLOR', async () => {
    const env = { DISTRIC_SERVER: peer.url };
    expect((await distric(['status'], { isTTY: true, env })).out).toContain('\u001b[');
    expect((await distric(['status'], { isTTY: true, env: { ...env, NO_COLOR: '1' } })).out).not.toContain('\u001b[');
    expect((await distric(['status'], { env })).out).not.toContain('\u001b[');
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

describe('distric', () => {
  it('explains each command, with an example', async () => {
    const commands = [
      ['up'],
      ['down'],
      ['status'],
      ['cluster', 'status'],
      ['apply'],
      ['validate'],
      ['send'],
      ['logs'],
      ['version'],
      ...['list', 'get', 'delete', 'reload'].map((name) => ['rules', name]),
      ...['list', 'get', 'delete'].map((name) => ['definitions', name]),
      ...['list', 'get', 'cancel'].map((name) => ['instances', name]),
      ...['list', 'get', 'cancel'].map((name) => ['workflows', name]),
      ...['list', 'get'].map((name) => ['messages', name]),
    ];
    for (const command of commands) {
      const { exitCode, out } = await distric([...command, '--help']);
      expect({ command, exitCode }).toEqual({ command, exitCode: EXIT.OK });
      expect(out).toContain(`$ distric ${command.join(' ')}`);
      expect(out).toContain('--server');
    }
  });

  it('ends with the usage code for a wrong command line', async () => {
    const wrong = [[], ['nonsense'], ['rules'], ['send'], ['apply'], ['status', '-o', 'xml'], ['status', '--server', 'ftp:/x y'],
      ['up', '--coordinators', '2'], ['instances', 'list', '--limit', '0']]; // prettier-ignore
    for (const argv of wrong) {
      const { exitCode, err } = await distric(argv);
      expect({ argv, exitCode }).toEqual({ argv, exitCode: EXIT.USAGE });
      expect(err).not.toBe('');
    }
  });

  it('prints its version', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect((await distric(['--version'])).out).toBe(`${version}\n`);
    expect(JSON.parse((await distric(['version', '-o', 'json'])).out)).toMatchObject({ distric: version });
  });

  it('finds the servers by option, environment, and the cluster file of a parent folder', async () => {
    const env = {};
    expect(await distric(['rules', 'list'], { env })).toMatchObject({ exitCode: EXIT.UNAVAILABLE });
    expect(await distric(['rules', 'list', '-s', `${peer.url},127.0.0.1:1`], { env })).toMatchObject({
      exitCode: EXIT.OK,
    });
    await mkdir(path.join(cwd, '.distric'));
    await mkdir(path.join(cwd, 'deep/er'), { recursive: true });
    const node = { id: 'coordinator-1', role: 'coordinator', pid: null, http: new URL(peer.url).host };
    await write('.distric/cluster.json', JSON.stringify({ version: 1, settings: {}, nodes: [node] }));
    expect(await distric(['rules', 'list'], { env, cwd: path.join(cwd, 'deep/er') })).toMatchObject({
      exitCode: EXIT.OK,
    });
    await write('.distric/cluster.json', '{}');
    expect(await distric(['rules', 'list'], { env })).toMatchObject({ exitCode: EXIT.FAILURE });
  });
});

describe('distric logs', () => {
  const line = JSON.stringify({ ts: 0, level: 'warn', component: 'raft', msg: 'lost\u001b[2J leader', term: 3 });

  beforeEach(async () => {
    await mkdir(path.join(cwd, '.distric/logs'), { recursive: true });
    const nodes = ['coordinator-1', 'worker-1'].map((id) => ({ id, role: 'coordinator', pid: null, http: null }));
    await write('.distric/cluster.json', JSON.stringify({ version: 1, settings: {}, nodes }));
  });

  it('prints the last lines of each node for people, and as written for programs', async () => {
    await write('.distric/logs/coordinator-1.log', `first\n${line}\n`);
    const { lines } = await distric(['logs', '-n', '1']);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^coordinator-1 {2}\d\d:\d\d:\d\d\.000 {2}warn {3}raft: lost \[2J leader {2}term=3$/u);
    expect((await distric(['logs', 'coordinator-1', '-o', 'json'])).out).toBe(`first\n${line}\n`);
    expect((await distric(['logs', 'worker-1'])).out).toBe('');
    expect((await distric(['logs', 'worker-9'])).exitCode).toBe(EXIT.NOT_FOUND);
  });

  it('reads as many lines as asked for from a long log', async () => {
    const rows = Array.from({ length: 5_000 }, (_, n) => `row ${String(n)} ${'x'.repeat(100)}`);
    await write('.distric/logs/worker-1.log', `${rows.join('\n')}\n`);
    const { lines } = await distric(['logs', 'worker-1', '-n', '3000', '-o', 'json']);
    expect(lines).toEqual(rows.slice(-3_000));
  });

  it('follows whole lines as they are written, until it is interrupted', async () => {
    const file = '.distric/logs/worker-1.log';
    await write(file, 'one\n');
    const interrupt = new AbortController();
    const seen: string[] = [];
    const steps = ['two\nthr', 'ee\n'];
    const advance = (text: string): void => {
      seen.push(text);
      const next = steps.shift();
      if (next === undefined) interrupt.abort();
      else void appendFile(path.join(cwd, file), next);
    };
    const { exitCode } = await distric(['logs', 'worker-1', '-f', '-o', 'json'], {
      signal: interrupt.signal,
      onWrite: advance,
    });
    expect(exitCode).toBe(EXIT.OK);
    expect(seen).toEqual(['one\n', 'two\n', 'three\n']);
  });

  it('says so when there is no local cluster', async () => {
    const elsewhere = await distric(['logs', '--data', 'other']);
    expect(elsewhere.exitCode).toBe(EXIT.NOT_FOUND);
    expect(elsewhere.err).toContain('distric up');
    expect((await distric(['down', '--data', 'other'])).exitCode).toBe(EXIT.NOT_FOUND);
  });
});
