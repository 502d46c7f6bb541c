import { beforeEach, describe, expect, it } from '@jest/globals';
import { Random } from '../../../base/random.ts';
import { DistricError } from '../../../base/errors.ts';
import { membershipOf } from '../../core/raft/membership.ts';
import { randomRule } from '../documents.ts';
import { EventQueue } from '../event-queue.ts';
import { History } from './history.ts';
import { Counters } from '../counters.ts';
import { StateChecks } from './state-checks.ts';

function accepted(messageId: string, instances: string[] = []) {
  return { accepted: { messageId, instances, workflowsTriggered: instances.map(() => 'wf'), duplicate: false } };
}

describe('History', () => {
  let queue: EventQueue;
  let state: StateChecks;
  let history: History;

  beforeEach(() => {
    queue = new EventQueue();
    state = new StateChecks(new Counters(), membershipOf(['c1']));
    state.messages.set('m1', 1);
    state.messages.set('m2', 2);
    history = new History(queue, state);
  });

  it('refuses an acknowledgement of what is not applied', () => {
    const submission = history.submission(1, undefined);
    expect(() => history.onOutcome(submission, history.submits(submission), accepted('m9'))).toThrow(
      'what a client is told as done is applied',
    );
  });

  it('refuses two messages for one key', () => {
    const submission = history.submission(1, 'key');
    expect(history.onOutcome(submission, history.submits(submission), accepted('m1'))).toBe(true);
    expect(() => history.onOutcome(submission, history.submits(submission), accepted('m2'))).toThrow(
      'an idempotency key gives one message',
    );
  });

  it('refuses other instances for the same message', () => {
    const submission = history.submission(1, 'key');
    history.onOutcome(submission, history.submits(submission), accepted('m1', ['m1-1']));
    expect(() => history.onOutcome(submission, history.submits(submission), accepted('m1', []))).toThrow(
      'exactly the instances its outcome told',
    );
  });

  it('goes on after what another try can mend', () => {
    const submission = history.submission(1, 'key');
    expect(
      history.onOutcome(submission, history.submits(submission), { error: new DistricError('NO_LEADER', 'no') }),
    ).toBe(false);
    expect(
      history.onOutcome(submission, history.submits(submission), { error: new DistricError('OUTCOME_UNKNOWN', 'no') }),
    ).toBe(false);
    expect(submission.unknownCount).toBe(1);
    expect(
      history.onOutcome(submission, history.submits(submission), {
        error: new DistricError('IDEMPOTENCY_CONFLICT', 'no'),
      }),
    ).toBe(true);
  });

  it('lets a read miss only what was acknowledged after it began', () => {
    const submission = history.submission(1, undefined);
    const attempt = history.submits(submission);
    queue.nowUs = 10;
    history.onOutcome(submission, attempt, accepted('m1'));
    history.onMessageRead(submission, 'm1', false, 9);
    expect(() => history.check()).not.toThrow();
    history.onMessageRead(submission, 'm1', false, 11);
    expect(() => history.check()).toThrow('a read sees everything');
  });

  it('judges rules by what was put, deleted and read, and leaves out what was refused', () => {
    const put = (version: number) => {
      const rule = randomRule(new Random(1), 'r', version);
      return history.commands({ kind: 'putRule', rule, mode: 'upsert' });
    };
    put(1)?.({ result: {} });
    put(2)?.({ error: new DistricError('NO_LEADER', 'no') });
    put(3);
    queue.nowUs = 10;
    const read = (version: number) => history.onRuleRead('r', { result: { version }, appliedIndex: 1 }, 10);
    read(1);
    expect(() => history.check()).not.toThrow();
    queue.nowUs = 20;
    read(3);
    expect(() => history.check()).not.toThrow();
    read(2);
    expect(() => history.check()).toThrow('rule r, from call to return');
  });

  it('lets a version go only forward', () => {
    queue.nowUs = 10;
    history.stands('rule', 3);
    expect(() => history.onVersion('rule', 2, 10)).not.toThrow();
    queue.nowUs = 20;
    expect(() => history.onVersion('rule', 2, 15)).toThrow('rule is read at 2, and 3 stood');
    history.onVersion('rule', 5, 15);
    queue.nowUs = 30;
    expect(() => history.onVersion('rule', 4, 25)).toThrow('rule is read at 4, and 5 stood');
  });

  it('lets a read miss what retention has deleted, and nothing else', () => {
    const submission = history.submission(1, undefined);
    history.onOutcome(submission, history.submits(submission), accepted('m1', ['m1-1']));
    history.onInstanceRead('m1-1', 'COMPLETED', 0);
    queue.nowUs = 10;
    expect(() => history.onInstanceRead('m1-1', undefined, 5)).toThrow('instance m1-1 is read as undefined');
    state.swept.add('m1').add('m1-1');
    history.onInstanceRead('m1-1', undefined, 5);
    history.onMessageRead(submission, 'm1', false, 5);
    expect(() => history.check()).not.toThrow();
    expect(history.sweptMessages).toEqual([{ id: 'm1', marker: 1 }]);
  });

  it('keeps an instance ended that was seen so', () => {
    history.onInstanceRead('i', 'COMPLETED', 0);
    queue.nowUs = 10;
    expect(() => history.onInstanceRead('i', 'RUNNING', 5)).toThrow('instance i is read as RUNNING');
  });
});
