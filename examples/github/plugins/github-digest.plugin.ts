/**
 * `github_digest`: any webhook delivery as a short piece of markdown: who did what where, the facts, an excerpt.
 * Config: `changes: true` adds what was changed from which value. Output: {title, url, repository, actor, markdown}.
 */
import { definePlugin } from 'distric/plugin';
import { escapeMarkdown, excerpt, recordOf, textAt, valueAt, webUrl } from '../payload.ts';

export interface Digest {
  /** One line of plain text, not escaped. */
  title: string;
  /** Address of what the event is about; '' when the payload names none. */
  url: string;
  repository: string;
  actor: string;
  markdown: string;
}

/** Parts of a payload that an event can be about, the most telling first. */
const SUBJECTS = [
  'comment',
  'review',
  'pull_request',
  'issue',
  'discussion',
  'release',
  'workflow_run',
  'workflow_job',
  'check_run',
  'check_suite',
  'deployment_status',
  'deployment',
  'security_advisory',
  'alert',
  'package',
  'milestone',
  'label',
  'member',
  'forkee',
  'team',
  'rule',
  'key',
  'build',
] as const;

/** Facts worth a line, and where payloads keep them. */
const FACTS: readonly (readonly [label: string, ...paths: string[]])[] = [
  ['Label', 'label.name'],
  [
    'Branch',
    'pull_request.head.ref',
    'workflow_run.head_branch',
    'workflow_job.head_branch',
    'check_run.check_suite.head_branch',
  ],
  ['Into', 'pull_request.base.ref'],
  ['Ref', 'ref', 'deployment.ref'],
  ['Files changed', 'pull_request.changed_files'],
  [
    'Conclusion',
    'workflow_run.conclusion',
    'workflow_job.conclusion',
    'check_run.conclusion',
    'check_suite.conclusion',
  ],
  ['State', 'deployment_status.state', 'review.state', 'alert.state', 'state'],
  ['Environment', 'deployment.environment', 'environment'],
  [
    'Severity',
    'security_advisory.severity',
    'alert.security_advisory.severity',
    'alert.severity',
    'alert.rule.severity',
  ],
  ['Tag', 'release.tag_name'],
  ['Permission', 'member.permissions', 'team.permission'],
  ['Account', 'installation.account.login', 'blocked_user.login'],
];

const TITLE_CHARS_MAX = 120;
const EXCERPT_CHARS_MAX = 280;
const VALUE_CHARS_MAX = 80;
const CHANGES_MAX = 20;

export const plugin = definePlugin<{ changes?: boolean }>({
  name: 'github_digest',
  version: '1.0.0',
  configSchema: {
    type: 'object',
    properties: { changes: { type: 'boolean' } },
    additionalProperties: false,
  },
  execute(ctx) {
    return digestOf(ctx.message, ctx.config.changes === true);
  },
});

export function digestOf(message: unknown, withChanges: boolean): Digest {
  const event = textAt(message, 'event_type').replace(/^github\./, '');
  const repository = textAt(message, 'repository.full_name', 'organization.login', 'installation.account.login');
  const actor = textAt(message, 'sender.login', 'pusher.name', 'requestor.login') || 'GitHub';
  const happened = [event, textAt(message, 'action')].join(' ').replaceAll('_', ' ').trim();
  const subject = subjectOf(message);
  const name = subject.name === '' ? happened : subject.name;

  const lines = [`### ${escapeMarkdown([repository, happened].filter(Boolean).join(': '))}`, ''];
  lines.push(subject.url === '' ? `**${escapeMarkdown(name)}**` : `**[${escapeMarkdown(name)}](${subject.url})**`);
  lines.push('', `- By: ${escapeMarkdown(actor)}`, ...factLines(message));
  if (withChanges) lines.push(...changeLines(message));
  if (subject.body !== '') lines.push('', `> ${escapeMarkdown(excerpt(subject.body, EXCERPT_CHARS_MAX))}`);

  const title = excerpt([happened, subject.name].filter(Boolean).join(': ').replace(/\s+/g, ' '), TITLE_CHARS_MAX);
  return { title, url: subject.url, repository, actor, markdown: `${lines.join('\n')}\n` };
}

function subjectOf(message: unknown): { name: string; url: string; body: string } {
  const found = SUBJECTS.find((key) => Object.keys(recordOf(valueAt(message, key))).length > 0);
  const subject = found === undefined ? undefined : valueAt(message, found);
  // A comment or a review has no title of its own: it goes by the title of what it is about.
  const parent =
    ['pull_request', 'issue', 'discussion'].map((key) => textAt(message, `${key}.title`)).find(Boolean) ?? '';
  const number =
    textAt(subject, 'number') || textAt(message, 'pull_request.number', 'issue.number', 'discussion.number');
  const title =
    textAt(subject, 'title', 'summary', 'name', 'security_advisory.summary', 'rule.description') ||
    parent ||
    textAt(subject, 'full_name', 'login', 'external_identifier', 'tag_name', 'environment', 'description');
  const body = textAt(subject, 'body', 'description');
  return {
    name: excerpt([number === '' ? '' : `#${number}`, title].filter(Boolean).join(' '), TITLE_CHARS_MAX),
    url: webUrl(textAt(subject, 'html_url') || textAt(message, 'compare', 'repository.html_url')),
    body: body === title ? '' : body,
  };
}

function factLines(message: unknown): string[] {
  return FACTS.flatMap(([label, ...paths]) => {
    const value = textAt(message, ...paths);
    return value === '' ? [] : [`- ${label}: ${escapeMarkdown(excerpt(value, VALUE_CHARS_MAX))}`];
  });
}

/** GitHub reports a change as {field: {from: old value}}; the new value stands in the payload itself. */
function changeLines(message: unknown): string[] {
  const changes = Object.entries(recordOf(valueAt(message, 'changes'))).slice(0, CHANGES_MAX);
  return changes.map(([name, change]) => {
    const from = Object.hasOwn(recordOf(change), 'from') ? valueAt(change, 'from') : change;
    const before = typeof from === 'string' ? from : from === null ? 'nothing' : JSON.stringify(from);
    return `- Changed: ${escapeMarkdown(name)}, was ${escapeMarkdown(excerpt(before, VALUE_CHARS_MAX))}`;
  });
}
