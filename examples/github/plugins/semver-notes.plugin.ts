/**
 * `semver_notes`: notes from a release, a published package or a push.
 * Commit messages are sorted by the kinds of Conventional Commits 1.0.0; the greatest of them gives the next bump
 * (Semantic Versioning 2.0.0). Output: {version, kind, bump, markdown}.
 */
import { definePlugin, TerminalError } from 'distric/plugin';
import { escapeMarkdown, excerpt, listAt, textAt, valueAt, webUrl } from '../payload.ts';

export const BUMPS = ['none', 'patch', 'minor', 'major'] as const;
export type Bump = (typeof BUMPS)[number];

export interface Notes {
  /** The tag or version as the payload writes it; '' for a push to a branch. */
  version: string;
  /** What the version says of itself; `unversioned` when it is not a semantic version. */
  kind: 'major' | 'minor' | 'patch' | 'pre-release' | 'unversioned';
  bump: Bump;
  markdown: string;
}

interface Change {
  section: string;
  bump: Bump;
  text: string;
}

const SECTIONS = ['Breaking changes', 'Added', 'Fixed', 'Other changes'] as const;
const COMMITS_MAX = 1_000;
const LINE_CHARS_MAX = 160;
const BODY_CHARS_MAX = 20_000;
/** A digest of a container image is 71 characters: the first ones tell it apart. */
const VERSION_CHARS_SHOWN = 32;
/** Semantic Versioning 2.0.0, items 2, 9 and 10. */
const VERSION = /^v?(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;
const CONVENTIONAL = /^([a-z]+)(?:\([^)]*\))?(!)?: (.+)$/;

export const plugin = definePlugin({
  name: 'semver_notes',
  version: '1.0.0',
  execute(ctx) {
    return notesOf(ctx.message);
  },
});

/** Throws TerminalError for a message that has no release, no package and no commits. */
export function notesOf(message: unknown): Notes {
  const changes = listAt(message, 'commits').slice(0, COMMITS_MAX).map(changeOf);
  const version = textAt(message, 'release.tag_name', 'package.package_version.version');
  if (version === '' && valueAt(message, 'commits') === undefined) {
    throw new TerminalError(`write notes for ${textAt(message, 'event_type')}: it has no release, package or commits`);
  }

  const kind = kindOf(version, textAt(message, 'release.prerelease') === 'true');
  const bump = changes.reduce<Bump>(
    (most, change) => (BUMPS.indexOf(change.bump) > BUMPS.indexOf(most) ? change.bump : most),
    'none',
  );
  const lines = [`## ${escapeMarkdown(headline(message, version))}`, ''];
  const body = textAt(message, 'release.body', 'package.package_version.body.info.description');
  // A release's body is the maintainers' own markdown: it is kept as it is.
  if (body !== '') lines.push(excerpt(body, BODY_CHARS_MAX), '');
  for (const section of SECTIONS) {
    const texts = changes.filter((change) => change.section === section).map((change) => `- ${change.text}`);
    if (texts.length > 0) lines.push(`### ${section}`, '', ...texts, '');
  }
  if (changes.length > 0) lines.push(`Next version: ${bump === 'none' ? 'no release needed' : `a ${bump} one`}.`, '');
  const url = webUrl(textAt(message, 'release.html_url', 'package.package_version.html_url', 'compare'));
  if (url !== '') lines.push(`See ${url}`, '');
  return { version, kind, bump, markdown: lines.join('\n') };
}

function headline(message: unknown, version: string): string {
  const repository = textAt(message, 'repository.full_name');
  if (version === '') return `${repository}: pushed to ${textAt(message, 'ref').replace(/^refs\/heads\//, '')}`;
  const name = textAt(message, 'package.name', 'release.name') || repository;
  return `${name} ${excerpt(version, VERSION_CHARS_SHOWN)}`;
}

function kindOf(version: string, prerelease: boolean): Notes['kind'] {
  const parts = VERSION.exec(version);
  if (parts === null) return prerelease ? 'pre-release' : 'unversioned';
  if (prerelease || parts[4] !== undefined) return 'pre-release';
  if (parts[3] !== '0') return 'patch';
  return parts[2] === '0' ? 'major' : 'minor';
}

function changeOf(commit: unknown): Change {
  const message = textAt(commit, 'message');
  const subject = message.split('\n', 1)[0] ?? '';
  const [, type = '', bang, description = subject] = CONVENTIONAL.exec(subject) ?? [];
  const text = escapeMarkdown(excerpt(description, LINE_CHARS_MAX));
  if (bang === '!' || /^BREAKING[ -]CHANGE: /m.test(message))
    return { section: 'Breaking changes', bump: 'major', text };
  if (type === 'feat') return { section: 'Added', bump: 'minor', text };
  if (type === 'fix' || type === 'perf') return { section: 'Fixed', bump: 'patch', text };
  return { section: 'Other changes', bump: 'none', text };
}
