import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { TerminalError } from 'distric/plugin';
import { taskContext } from '../dry-run.ts';
import { deliveryMessage, loadDeliveries } from './deliveries.ts';
import { digestOf, plugin as githubDigest } from './plugins/github-digest.plugin.ts';
import { classify, plugin as labelClassifier } from './plugins/label-classifier.plugin.ts';
import { plugin as markdownFile } from './plugins/markdown-file.plugin.ts';
import { assess } from './plugins/security-severity.plugin.ts';
import { notesOf } from './plugins/semver-notes.plugin.ts';

const deliveries = loadDeliveries();

function messageOf(id: string): Record<string, unknown> {
  const delivery = deliveries.find((candidate) => candidate.id === id);
  if (delivery === undefined) throw new Error(`no delivery ${id}`);
  return deliveryMessage(delivery);
}

describe('github_digest', () => {
  it('tells who did what where', () => {
    const digest = digestOf(messageOf('pull_request/opened/0'), false);
    expect(digest).toMatchObject({
      title: 'pull request opened: #2 Update the README with new information.',
      url: 'https://github.com/Codertocat/Hello-World/pull/2',
      repository: 'Codertocat/Hello-World',
      actor: 'Codertocat',
    });
    expect(digest.markdown).toContain('- Branch: changes\n- Into: master\n- Files changed: 1');
  });

  it('has a title and a heading for every one of the deliveries', () => {
    for (const delivery of deliveries) {
      const digest = digestOf(deliveryMessage(delivery), true);
      expect(digest.title).toContain(delivery.event.replaceAll('_', ' '));
      expect(digest.markdown).toMatch(/^### \S.*\n\n\*\*.+\*\*\n\n- By: \S/);
      expect(digest.markdown).not.toContain('undefined');
    }
  });

  it('names what was changed and from which value, when asked', async () => {
    const message = messageOf('repository/renamed/9');
    const context = { message, config: { changes: true } };
    expect(await githubDigest.execute(taskContext(context))).toMatchObject({
      markdown: expect.stringContaining('- Changed: repository, was {"name":{"from":"Hello-World"}}'),
    });
    expect(await githubDigest.execute(taskContext({ message }))).toMatchObject({
      markdown: expect.not.stringContaining('Changed'),
    });
  });

  it('lets text from outside become neither markup, nor a mention, nor a strange link', () => {
    const issue = { title: 'a\n# b <img src=x> @everyone [x](y)', html_url: 'javascript:alert(1)' };
    const { markdown, url } = digestOf({ event_type: 'github.issues', action: 'opened', issue }, false);
    expect(url).toBe('');
    expect(markdown).toContain('**a \\# b \\<img src=x\\> @\u200beveryone \\[x\\](y)**');
    expect(markdown).not.toContain('javascript');
  });
});

describe('label_classifier', () => {
  const config = {
    title: ['issue.title'],
    body: ['issue.body'],
    lines: ['additions', 'deletions'],
    labels: { bug: ['crash', 'broken'], docs: ['readme'], wish: ['would be nice'] },
  };

  it.each([
    [
      'a word in the title counts three times',
      { title: 'README', body: 'crash, crash' },
      ['docs', 'bug'],
      { docs: 3, bug: 2 },
    ],
    ['phrases match over whole words only', { title: '', body: 'Would BE nice: unbroken' }, ['wish'], { wish: 1 }],
    ['nothing fits', { title: 'hello', body: null }, [], {}],
  ])('%s', (_name, issue, labels, scores) => {
    expect(classify({ issue }, config)).toMatchObject({ labels, scores });
  });

  it.each([
    [0, 0, 'size/XS'],
    [9, 1, 'size/S'],
    [200, 50, 'size/L'],
    [5_000, 0, 'size/XL'],
  ])('%i added and %i deleted lines are %s', (additions, deletions, size) => {
    expect(classify({ additions, deletions }, config).labels).toEqual([size]);
  });

  it('labels a real issue', async () => {
    const labels = { documentation: ['readme', 'spelling'], bug: ['error', 'crash'] };
    const context = {
      message: messageOf('issues/opened/15'),
      config: { title: ['issue.title'], body: ['issue.body'], labels },
    };
    expect(await labelClassifier.execute(taskContext(context))).toEqual({
      labels: ['documentation', 'bug'],
      scores: { documentation: 6, bug: 3 },
      markdown: 'Suggested labels: documentation, bug\n',
    });
  });
});

describe('security_severity', () => {
  it.each([
    ['dependabot_alert/created/1', 'medium', 5.3, 'semver', '7.5.2', false],
    ['repository_vulnerability_alert/create/0', 'medium', null, 'rack', '2.0.6', false],
    ['code_scanning_alert/created/2', 'high', null, 'java/sql-injection', '', true],
    ['security_advisory/published/1', 'high', 7.9, 'django', '', true],
    ['security_advisory/withdrawn/3', 'critical', 9.8, 'static-eval', '', true],
  ])('%s is %s', (id, severity, score, subject, fix, page) => {
    expect(assess(messageOf(id), 'high')).toMatchObject({ severity, score, subject, fix, page });
  });

  it('takes a leaked secret for critical', () => {
    const message = { event_type: 'github.secret_scanning_alert', alert: { number: 1, secret_type: 'aws_key' } };
    expect(assess(message, 'critical')).toMatchObject({ severity: 'critical', subject: 'aws_key', page: true });
  });

  it('fails for good when there is nothing to assess', () => {
    expect(() => assess(messageOf('star/created/0'), 'high')).toThrow(TerminalError);
  });
});

describe('semver_notes', () => {
  const push = (...messages: string[]) =>
    notesOf({
      ref: 'refs/heads/main',
      repository: { full_name: 'o/r' },
      commits: messages.map((message) => ({ message })),
    });

  it('sorts commits by kind and names the next bump', () => {
    const { bump, markdown } = push('feat(api): take arrays', 'fix: no crash on null', 'tidy up');
    expect(bump).toBe('minor');
    expect(markdown).toBe(
      [
        '## o/r: pushed to main',
        '',
        ...['### Added', '', '- take arrays', '', '### Fixed', '', '- no crash on null', ''],
        ...['### Other changes', '', '- tidy up', '', 'Next version: a minor one.', ''],
      ].join('\n'),
    );
  });

  it.each([
    ['major', ['fix!: drop Node 20']],
    ['major', ['fix: x\n\nBREAKING CHANGE: y']],
    ['patch', ['perf: faster', 'docs: typo']],
    ['none', ['Merge branch main']],
  ])('calls for %s after %j', (bump, messages) => {
    expect(push(...messages).bump).toBe(bump);
  });

  it.each([
    ['0.0.1', false, 'patch'],
    ['v2.1.0', false, 'minor'],
    ['3.0.0', false, 'major'],
    ['3.0.0-rc.1', false, 'pre-release'],
    ['1.0.0', true, 'pre-release'],
    ['01.0.0', false, 'unversioned'],
    ['nightly', false, 'unversioned'],
  ])('takes release %s (prerelease: %s) for %s', (tag, prerelease, kind) => {
    expect(notesOf({ release: { tag_name: tag, prerelease } })).toMatchObject({ version: tag, kind });
  });

  it('writes notes of a real release', () => {
    const { markdown } = notesOf(messageOf('release/published/10'));
    expect(markdown).toContain('## Codertocat/Hello-World 0.0.1\n');
    expect(markdown).toContain('See https://github.com/Codertocat/Hello-World/releases/tag/0.0.1');
  });

  it('fails for good when there is nothing to write about', () => {
    expect(() => notesOf(messageOf('star/created/0'))).toThrow(TerminalError);
  });
});

describe('markdown_file', () => {
  let out: string;
  beforeEach(async () => {
    out = await mkdtemp(path.join(tmpdir(), 'github-example-'));
    process.env['GITHUB_EXAMPLE_OUT'] = out;
  });
  afterEach(async () => {
    delete process.env['GITHUB_EXAMPLE_OUT'];
    await rm(out, { recursive: true });
  });

  const write = async (idempotencyKey: string, outputs: Record<string, unknown>) =>
    (await markdownFile.execute(taskContext({ idempotencyKey, outputs, config: { folder: 'notes' } }))) as {
      path: string;
      bytes: number;
    };

  it('writes what the tasks before it made, in the order of their ids', async () => {
    const { path: file, bytes } = await write('k', {
      b: { markdown: 'two\n' },
      a: { markdown: 'één' },
      c: { labels: [] },
    });
    const content = await readFile(file, 'utf8');
    expect(content).toBe('één\n\ntwo\n');
    expect(bytes).toBe(Buffer.byteLength(content));
    expect(path.dirname(file)).toBe(path.join(out, 'notes'));
  });

  it('leaves one file, complete, when attempts with one key repeat and overlap', async () => {
    const outputs = { a: { markdown: 'x'.repeat(100_000) } };
    const files = await Promise.all(Array.from({ length: 8 }, () => write('instance/task', outputs)));
    expect(new Set(files.map((file) => file.path)).size).toBe(1);
    expect(await readdir(path.join(out, 'notes'))).toHaveLength(1);
    expect(await readFile(files[0]?.path ?? '', 'utf8')).toHaveLength(100_001);
  });

  it('keeps keys apart that look alike as file names, and inside the folder', async () => {
    const outputs = { a: { markdown: 'x' } };
    for (const key of ['../../a/b', '../../a_b', '.._.._a/b']) await write(key, outputs);
    expect(await readdir(path.join(out, 'notes'))).toHaveLength(3);
    expect(await readdir(out)).toEqual(['notes']);
  });

  it('fails for good when no task made any markdown', async () => {
    await expect(write('k', { a: { state: 'x' } })).rejects.toThrow(TerminalError);
  });
});
