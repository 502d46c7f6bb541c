import { describe, expect, it } from '@jest/globals';
import { ANONYMOUS, type Actor } from '../api/access.ts';
import { AccessLimits } from './access-limits.ts';
import { ClientDesk } from './client-desk.ts';
import { nodeHost } from './io/host.ts';
import { RecordingGateway } from './io/http/recording-gateway.ts';
import { RefusalNotes } from './refusal-notes.ts';

const actor: Actor = { kind: 'key', id: 'k', name: 'k', role: 'admin' };

describe('AccessLimits', () => {
  it('gives a key one bucket, whichever way it comes', () => {
    const limits = new AccessLimits({ requestsPerSecondPerKey: 2 });
    const gateway = new RecordingGateway();
    const desk = new ClientDesk({
      host: nodeHost,
      gateway,
      clock: () => ({ monotonicMs: 0, wallMs: 0 }),
      itemBytesMax: 1_000,
      identify: () => ({ actor, rateLimit: null }),
      limits,
      refusals: new RefusalNotes(gateway),
      authFailed: () => undefined,
    });
    const hello = { nodeId: 'c', role: 'client', clusterName: '', lane: 'bulk', features: [] };
    const opened = desk.open(hello, undefined, '127.0.0.1:1');
    if ('error' in opened) throw opened.error;
    // What REST takes is gone for the binary protocol.
    expect(limits.take(actor, null, 0)).toMatchObject({ rate: 2, state: { allowed: true } });
    const codes: string[] = [];
    const message = { kind: 'CLIENT_QUERY', body: { query: '{"kind":"rules"}', consistency: 'stale' } } as const;
    for (let i = 0; i < 2; i++) {
      desk.call(opened.session, {
        message,
        done: (answer) => codes.push('error' in answer ? answer.error.code : answer.message.kind),
      });
    }
    expect(codes).toEqual(['CLIENT_RESULT', 'RATE_LIMITED']);
    expect(limits.take(actor, null, 0)?.state.allowed).toBe(false);
  });

  it('knows keys without a limit', () => {
    expect(new AccessLimits({ requestsPerSecondPerKey: 0 }).take(actor, null, 0)).toBeUndefined();
    expect(new AccessLimits({ requestsPerSecondPerKey: 2 }).take(ANONYMOUS, 0, 0)).toBeUndefined();
  });
});
