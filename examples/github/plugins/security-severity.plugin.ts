/**
 * `security_severity`: one scale for the four shapes in which GitHub reports a weakness (advisory, Dependabot alert,
 * code scanning alert, secret scanning alert, and the older vulnerability alert).
 * Config: {page_from?: the least severity that pages somebody; default high}.
 * Output: {severity, score, subject, fix, page, markdown}.
 */
import { definePlugin, TerminalError } from 'distric/plugin';
import { escapeMarkdown, recordOf, textAt, valueAt } from '../payload.ts';

export const SEVERITIES = ['unknown', 'low', 'medium', 'high', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

export interface Assessment {
  severity: Severity;
  /** CVSS base score, 0 to 10; null when nobody has scored it. */
  score: number | null;
  /** The package, file or kind of secret concerned. */
  subject: string;
  /** First version without the weakness; '' when there is none. */
  fix: string;
  /** Whether somebody should be woken up. */
  page: boolean;
  markdown: string;
}

/** GitHub's words for severities, over all kinds of alert, in ours. */
const WORDS = new Map<string, Severity>([
  ['note', 'low'],
  ['low', 'low'],
  ['warning', 'medium'],
  ['moderate', 'medium'],
  ['medium', 'medium'],
  ['error', 'high'],
  ['high', 'high'],
  ['critical', 'critical'],
]);

export const plugin = definePlugin<{ page_from?: Severity }>({
  name: 'security_severity',
  version: '1.0.0',
  configSchema: {
    type: 'object',
    properties: { page_from: { type: 'string', enum: ['low', 'medium', 'high', 'critical'] } },
    additionalProperties: false,
  },
  execute(ctx) {
    return assess(ctx.message, ctx.config.page_from ?? 'high');
  },
});

/** Throws TerminalError when the message is about no weakness: trying again would not change that. */
export function assess(message: unknown, pageFrom: Severity): Assessment {
  const weakness = [valueAt(message, 'alert'), valueAt(message, 'security_advisory')].find(
    (value) => Object.keys(recordOf(value)).length > 0,
  );
  if (weakness === undefined) {
    throw new TerminalError(`assess ${textAt(message, 'event_type')}: it has neither an alert nor a security_advisory`);
  }

  const scoreValue = valueAt(weakness, 'cvss.score') ?? valueAt(weakness, 'security_advisory.cvss.score');
  const score = typeof scoreValue === 'number' && scoreValue > 0 ? scoreValue : null;
  const severity = severityOf(message, weakness, score);
  const subject = subjectOf(weakness);
  const fix = textAt(
    weakness,
    'fixed_in',
    'security_vulnerability.first_patched_version.identifier',
    'first_patched_version.identifier',
  );
  const page = SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(pageFrom);
  const lines = [
    `**Severity: ${severity}**${score === null ? '' : ` (CVSS ${String(score)})`}`,
    '',
    `- Concerns: ${escapeMarkdown(subject)}`,
    `- Fixed in: ${fix === '' ? 'no fixed version yet' : escapeMarkdown(fix)}`,
    `- ${page ? 'Somebody is paged.' : 'It waits for working hours.'}`,
  ];
  return { severity, score, subject, fix, page, markdown: `${lines.join('\n')}\n` };
}

function severityOf(message: unknown, weakness: unknown, score: number | null): Severity {
  // A leaked secret carries no severity: whoever has it is inside already.
  if (textAt(message, 'event_type') === 'github.secret_scanning_alert') return 'critical';
  const word = textAt(
    weakness,
    'rule.security_severity_level',
    'security_vulnerability.severity',
    'security_advisory.severity',
    'severity',
    'rule.severity',
  );
  const said = WORDS.get(word.toLowerCase()) ?? 'unknown';
  const scored = score === null ? 'unknown' : severityOfScore(score);
  return SEVERITIES.indexOf(scored) > SEVERITIES.indexOf(said) ? scored : said;
}

/** The qualitative scale of CVSS v3.1, section 5. */
function severityOfScore(score: number): Severity {
  if (score >= 9) return 'critical';
  if (score >= 7) return 'high';
  return score >= 4 ? 'medium' : 'low';
}

function subjectOf(weakness: unknown): string {
  const first = valueAt(weakness, 'vulnerabilities');
  const vulnerability: unknown = Array.isArray(first) ? first[0] : undefined;
  return (
    textAt(weakness, 'dependency.package.name', 'affected_package_name', 'secret_type_display_name', 'secret_type') ||
    textAt(vulnerability, 'package.name') ||
    textAt(weakness, 'most_recent_instance.location.path', 'rule.id', 'ghsa_id') ||
    'unknown'
  );
}
