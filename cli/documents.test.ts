import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
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

let cwd: string;
let peer: RestPeer;
let room: CommandRoom;

beforeEach(async () => {
  room = await CommandRoom.open();
  ({ cwd, peer } = room);
});

afterEach(() => room.close());

function distric(argv: string[], options: CapturedIoOptions = {}): Promise<CommandResult> {
  return room.distric(argv, options);
}

function write(name: string, text: string): Promise<void> {
  return room.write(name, text);
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
