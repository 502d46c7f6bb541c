import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nodeHost } from '../../io/host.ts';
import { decodeMessage, kindOfCode, laneOf, MESSAGES, type MessageKind } from './messages.ts';
import { MalformedError } from './struct.ts';

const KINDS = Object.keys(MESSAGES) as MessageKind[];

describe('messages', () => {
  it('of a damaged payload are malformed or another value, and nothing else is thrown', () => {
    fc.assert(
      fc.property(fc.constantFrom(...KINDS), fc.uint8Array({ maxLength: 60 }), (kind, bytes) => {
        let fault: unknown;
        try {
          decodeMessage(nodeHost, MESSAGES[kind].code, bytes);
        } catch (error) {
          fault = error;
        }
        expect(fault === undefined || fault instanceof MalformedError).toBe(true);
      }),
    );
  });

  it('have codes of their own, in the range of their family', () => {
    const codes = KINDS.map((kind) => MESSAGES[kind].code);
    expect(new Set(codes).size).toBe(codes.length);
    for (const kind of KINDS) {
      const { code } = MESSAGES[kind];
      expect(kindOfCode(code)).toBe(kind);
      expect([0x0000, 0x1000, 0x2000, 0x3000, 0x4000]).toContain(code & 0xf000);
      expect(code & 0x0ff0).toBe(0);
    }
  });

  it('of an unknown code are skipped: a newer peer may send them', () => {
    expect(decodeMessage(nodeHost, 0x4fff, Buffer.from('anything'))).toBeUndefined();
    expect(kindOfCode(0x4fff)).toBeUndefined();
  });

  it('that are heartbeats never queue behind entries', () => {
    const head = {
      term: 1,
      leaderId: 'a',
      prevLogIndex: 0,
      prevLogTerm: 0,
      leaderCommit: 0,
      readRound: 0,
      cutBefore: 0,
    };
    expect(laneOf({ kind: 'APPEND_ENTRIES', body: { ...head, entries: [] } })).toBe('control');
    expect(laneOf({ kind: 'APPEND_ENTRIES', body: { ...head, entries: [Buffer.from('x')] } })).toBe('bulk');
    expect(laneOf({ kind: 'READ_INDEX', body: { requestId: 1 } })).toBe('control');
    expect(laneOf({ kind: 'TASK_RESULT', body: { session: 's', results: [] } })).toBe('bulk');
  });
});
