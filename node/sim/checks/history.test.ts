import { beforeEach, describe, expect, it } from '@jest/globals';
import { DistricError } from '../../../base/errors.ts';
import { EventQueue } from '../event-queue.ts';
import { History } from './history.ts';
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
    state = new StateChecks();
    state.messages.set('m1', 1);
    state.messages.set('m2', 2);
    history = new History(queue, state);
  });

  it('refuses an acknowledgement of what is not applied', () => {
    const submission = history.submission(1, undefined);
    expect(() => history.onOutcome(submission, accepted('m9'))).toThrow('what a client is told as done is applied');
  });

  it('refuses two messages for one key', () => {
    const submission = history.submission(1, 'key');
    expect(history.onOutcome(submission, accepted('m1'))).toBe(true);
    expect(() => history.onOutcome(submission, accepted('m2'))).toThrow('an idempotency key gives one message');
  });

  it('refuses other instances for the same message', () => {
    const submission = history.submission(1, 'key');
    history.onOutcome(submission, accepted('m1', ['m1-1']));
    expect(() => history.onOutcome(submission, accepted('m1', []))).toThrow('exactly the instances its outcome told');
  });

  it('goes on after what another try can mend', () => {
    const submission = history.submission(1, 'key');
    expect(history.onOutcome(submission, { error: new DistricError('NO_LEADER', 'no') })).toBe(false);
    expect(history.onOutcome(submission, { error: new DistricError('OUTCOME_UNKNOWN', 'no') })).toBe(false);
    expect(submission.unknownCount).toBe(1);
    expect(history.onOutcome(submission, { error: new DistricError('IDEMPOTENCY_CONFLICT', 'no') })).toBe(true);
  });

  it('lets a read miss only what was acknowledged after it began', () => {
    expect(() => history.onMessageRead('m1', false, 10, 9)).not.toThrow();
    expect(() => history.onMessageRead('m1', false, 10, 11)).toThrow('a read sees everything');
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

  it('keeps an instance ended that was seen so', () => {
    history.onInstanceRead('i', 'COMPLETED', 0);
    queue.nowUs = 10;
    expect(() => history.onInstanceRead('i', 'RUNNING', 5)).toThrow('instance i is read as RUNNING');
  });
});
