import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { parseMessage } from '../../api/message.ts';
import { compileRules } from '../../node/core/rules/rule-set.ts';
import { readDocuments } from '../dry-run.ts';
import { deliveryMessage, loadDeliveries } from './deliveries.ts';

const { rules, workflows } = readDocuments(import.meta.dirname);
const ruleSet = compileRules(rules);
const matches = loadDeliveries().map((delivery) => ({
  id: delivery.id,
  rules: ruleSet.match(deliveryMessage(delivery), {}).map((rule) => rule.id),
}));

/** Deliveries that each rule matches. The authors of all the pull requests own the repository, and nobody forces a push. */
const EXPECTED = {
  'access-changed': 36,
  'advisory-score-severe': 3,
  'branch-protection-changed': 5,
  'bug-labelled': 6,
  'ci-failed': 2,
  'default-branch-pushed': 2,
  diary: 301,
  'discussion-needs-answer': 3,
  'first-time-contributor': 0,
  'history-rewritten': 0,
  'issue-needs-triage': 6,
  'new-face': 13,
  'package-published': 3,
  'production-deployment': 3,
  'promised-follow-up': 5,
  'pull-request-ready': 9,
  'release-published': 5,
  'repository-exposed': 10,
  'review-given': 12,
  'security-advisory-published': 3,
  'security-alert-closed': 6,
  'security-alert-opened': 5,
  'workflow-awaits-approval': 3,
};

describe('the rules of examples/github', () => {
  it('start only workflows that are there, and every workflow is started by one', () => {
    const started = new Set(rules.flatMap((rule) => rule.actions.map((action) => action.workflow)));
    expect([...started].sort()).toEqual(workflows.map((workflow) => workflow.id).sort());
  });

  it('match the deliveries they are meant for', () => {
    const counts = rules.map((rule) => [rule.id, matches.filter((match) => match.rules.includes(rule.id)).length]);
    expect(Object.fromEntries(counts)).toEqual(EXPECTED);
  });

  it('leave alone only pings and the green noise of machines', () => {
    const left = matches.filter((match) => match.rules.length === 0).map((match) => match.id.split('/', 1)[0]);
    expect(left).toHaveLength(26);
    expect([...new Set(left)].sort()).toEqual(['check_suite', 'page_build', 'ping', 'status', 'workflow_job']);
  });

  it('fire in the order of their priority', () => {
    const advisory = matches.find((match) => match.id === 'security_advisory/published/1');
    expect(advisory?.rules).toEqual(['security-advisory-published', 'advisory-score-severe', 'diary']);
  });

  describe('first-time-contributor', () => {
    const sample = parseMessage(
      readFileSync(new URL('samples/first-time-pull-request.ndjson', import.meta.url), 'utf8'),
    ) as Record<string, Record<string, unknown>>;
    const fired = (change: Record<string, unknown>) =>
      ruleSet.match({ ...sample, ...change }, {}).map((rule) => rule.id);

    it('takes the place of pull-request-ready', () => {
      expect(fired({})).toEqual(['first-time-contributor', 'diary']);
    });

    it('steps back for a known contributor, when the pull request is opened again, and for a robot', () => {
      const contributor = { ...sample['pull_request'], author_association: 'CONTRIBUTOR' };
      expect(fired({ pull_request: contributor })).toEqual(['pull-request-ready', 'diary']);
      expect(fired({ action: 'reopened' })).toEqual(['pull-request-ready', 'diary']);
      expect(fired({ sender: { login: 'robot', type: 'Bot' } })).toEqual([]);
    });

    it('waits for a draft to be ready', () => {
      expect(fired({ action: 'reopened', pull_request: { ...sample['pull_request'], draft: true } })).toEqual([
        'diary',
      ]);
    });
  });

  it('history-rewritten sees forced pushes to branches only', () => {
    const push = { event_type: 'github.push', ref: 'refs/heads/topic', forced: true, deleted: false };
    const fired = (message: Record<string, unknown>) => ruleSet.match(message, {}).map((rule) => rule.id);
    expect(fired(push)).toEqual(['history-rewritten', 'diary']);
    expect(fired({ ...push, ref: 'refs/tags/v1' })).toEqual(['diary']);
    expect(fired({ ...push, forced: false })).toEqual(['diary']);
  });
});
