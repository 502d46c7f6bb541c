import { describe, expect, it } from '@jest/globals';
import type { Actor } from '../api/access.ts';
import { DistricError } from '../base/errors.ts';
import { RecordingGateway } from './io/http/recording-gateway.ts';
import { REFUSAL_INTERVAL_MS, RefusalNotes, REFUSALS_BURST } from './refusal-notes.ts';

const actor: Actor = { kind: 'key', id: 'k1', name: 'ci', role: 'submitter' };
const change = { action: 'rule.put', target: 'rule/r' };
const forbidden = new DistricError('FORBIDDEN', 'no');

describe('RefusalNotes', () => {
  it('puts a refused change on record, so many at once and then one a minute for each key', () => {
    const gateway = new RecordingGateway();
    const notes = new RefusalNotes(gateway);
    for (let i = 0; i < 5 * REFUSALS_BURST; i++) notes.note(actor, change, forbidden, 0);
    expect(gateway.commands).toHaveLength(REFUSALS_BURST);
    expect(gateway.commands[0]).toEqual({ kind: 'note', ...change, outcome: 'FORBIDDEN' });
    expect(gateway.actors[0]).toEqual(actor);
    notes.note({ ...actor, id: 'k2' }, change, forbidden, 0);
    for (let i = 0; i < 5; i++) notes.note(actor, change, forbidden, REFUSAL_INTERVAL_MS);
    expect(gateway.commands).toHaveLength(REFUSALS_BURST + 2);
  });

  it('leaves out who was not let in, and faults of the cluster itself', () => {
    const gateway = new RecordingGateway();
    const notes = new RefusalNotes(gateway);
    for (const code of ['UNAUTHENTICATED', 'RATE_LIMITED', 'NO_LEADER', 'OUTCOME_UNKNOWN', 'INTERNAL'] as const) {
      notes.note(actor, change, new DistricError(code, 'x'), 0);
    }
    expect(gateway.commands).toEqual([]);
  });
});
