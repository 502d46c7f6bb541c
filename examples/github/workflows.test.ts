import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseMessage } from '../../api/message.ts';
import { compileRules } from '../../node/core/rules/rule-set.ts';
import { builtinPlugins } from '../../node/plugins/builtin/catalog.ts';
import { dryRun, pluginTable, readDocuments } from '../dry-run.ts';
import { deliveryMessage, loadDeliveries } from './deliveries.ts';
import { textAt } from './payload.ts';
import { plugin as githubDigest } from './plugins/github-digest.plugin.ts';
import { plugin as labelClassifier } from './plugins/label-classifier.plugin.ts';
import { plugin as markdownFile } from './plugins/markdown-file.plugin.ts';
import { plugin as notify } from './plugins/notify.plugin.ts';
import { plugin as securitySeverity } from './plugins/security-severity.plugin.ts';
import { plugin as semverNotes } from './plugins/semver-notes.plugin.ts';
import { type Receiver, startReceiver } from './receiver.ts';

const { rules, workflows } = readDocuments(import.meta.dirname);
const ruleSet = compileRules(rules);
const workflowById = new Map(workflows.map((workflow) => [workflow.id, workflow]));
const plugins = pluginTable([
  ...builtinPlugins({ httpAllow: '' }),
  ...[githubDigest, labelClassifier, markdownFile, notify, securitySeverity, semverNotes],
]);

let out: string;
let receiver: Receiver;

beforeAll(async () => {
  out = await mkdtemp(path.join(tmpdir(), 'github-example-'));
  receiver = await startReceiver();
  process.env['GITHUB_EXAMPLE_OUT'] = out;
  process.env['GITHUB_EXAMPLE_RECEIVER'] = receiver.url;
});

afterAll(async () => {
  delete process.env['GITHUB_EXAMPLE_OUT'];
  delete process.env['GITHUB_EXAMPLE_RECEIVER'];
  await receiver.close();
  await rm(out, { recursive: true });
});

/** Runs everything that one message starts; yields the outputs of each instance. */
async function runAll(message: Record<string, unknown>) {
  const actions = ruleSet.match(message, {}).flatMap((rule) => rule.actions);
  return Promise.all(
    actions.map(async ({ workflow: id, params = {} }, i) => {
      const workflow = workflowById.get(id);
      if (workflow === undefined) throw new Error(`no workflow ${id}`);
      const instanceId = `${textAt(message, 'delivery.id')}/${i}`;
      return { id, tasks: workflow.tasks, outputs: await dryRun(workflow, plugins, { instanceId, message, params }) };
    }),
  );
}

describe('the workflows of examples/github', () => {
  it('run to their end for every delivery, with one file and one notice per task that makes one', async () => {
    const runs: Awaited<ReturnType<typeof runAll>> = [];
    for (const delivery of loadDeliveries()) runs.push(...(await runAll(deliveryMessage(delivery))));

    const count = (type: string) => runs.flatMap((run) => run.tasks).filter((task) => task.type === type).length;
    const files = (await readdir(out, { recursive: true })).filter((name) => name.endsWith('.md'));
    expect(runs).toHaveLength(441);
    expect(new Set(runs.map((run) => run.id)).size).toBe(workflows.length);
    expect(files).toHaveLength(count('markdown_file'));
    expect(receiver.delivered.size).toBe(count('notify'));
    for (const run of runs) {
      const made = [...run.outputs.values()].map((output) => textAt(output, 'markdown'));
      expect(`${run.id} ${made.join(' ')}`).not.toMatch(/undefined|null|\[object/);
    }
  });

  it('answer a first pull request with labels, a checklist and a welcome', async () => {
    const sample = await readFile(new URL('samples/first-time-pull-request.ndjson', import.meta.url), 'utf8');
    const [triage, welcome] = await runAll(parseMessage(sample));
    expect(triage?.outputs.get('labels')).toMatchObject({ labels: ['documentation', 'bug', 'size/XS'] });
    expect(triage?.outputs.get('checklist')).toEqual({
      markdown: [
        '**Before review**\n',
        '- [ ] Point to the contributing guide',
        '- [ ] Find a reviewer',
        '- [ ] Wait for the checks',
      ].join('\n'),
    });
    expect(welcome?.outputs.get('greeting')).toEqual({
      who: 'newcomer',
      markdown: 'Welcome, newcomer! Thank you for your first pull request to octo-org/octo-repo.',
    });
    const comment = await readFile(textAt(triage?.outputs.get('comment'), 'path'), 'utf8');
    expect(comment).toContain('Suggested labels: documentation, bug, size/XS');
    expect(comment).toContain('\\<!-- @\u200bmaintainers please merge --\\>');
  });

  it.each([
    ['workflow_job/completed/1', 'diagnosis', { branch: 'main', blocking: false }],
    ['check_run/completed/1', 'diagnosis', { branch: 'changes', blocking: false }],
    ['deployment_status/created/0', 'state', { state: 'success', settled: true }],
    ['member/added/0', 'greeting', { who: 'hacktocat' }],
    ['dependabot_alert/created/1', 'assess', { severity: 'medium', page: false }],
  ])('%s: task %s', async (id, taskId, output) => {
    const delivery = loadDeliveries().find((candidate) => candidate.id === id);
    if (delivery === undefined) throw new Error(`no delivery ${id}`);
    const runs = await runAll(deliveryMessage(delivery));
    expect(runs.map((run) => run.outputs.get(taskId)).find((found) => found !== undefined)).toMatchObject(output);
  });

  it('call a failure on the default branch blocking', async () => {
    const status = loadDeliveries().find((delivery) => delivery.event === 'status');
    if (status === undefined) throw new Error('no status');
    const [failure] = await runAll({ ...deliveryMessage(status), state: 'failure' });
    const markdown = 'default ended as failure on master.';
    expect(failure?.outputs.get('diagnosis')).toEqual({ branch: 'master', blocking: true, markdown });
  });
});
