/** What of the product behaves like single objects, as models for the linearizability checker. */
import type { Model } from '../base/linearizability.ts';

export type RuleInput = { kind: 'put'; version: number } | { kind: 'delete' } | { kind: 'get' };

export type RuleOutput = { version: number } | 'not found';

/** A rule by its id: its document's version, 0 while there is none. Puts and deletes answer what they left behind. */
export const RULE: Model<number, RuleInput, RuleOutput> = {
  initial: 0,
  step(version, input, output) {
    if (input.kind === 'put') return input.version;
    const isThere = version > 0;
    if (input.kind === 'get') {
      const told = output === 'not found' ? 0 : (output?.version ?? version);
      return told === version ? version : undefined;
    }
    if (output === undefined) return 0;
    return isThere === (output !== 'not found') ? 0 : undefined;
  },
};

export type MessageInput = { kind: 'submit' } | { kind: 'get'; id: string };
export type MessageOutput = { id: string; duplicate: boolean } | 'found' | 'not found';

/** It was kept by a try whose client never learnt the id. */
const SOME_ID = '?';

/** What an idempotency key gave, or a message without one: nothing, then one message for ever, which can be read. */
export const MESSAGE: Model<string, MessageInput, MessageOutput> = {
  initial: '',
  step(kept, input, output) {
    if (input.kind === 'get') {
      if (output === 'not found') return kept === '' ? kept : undefined;
      // A read of unknown outcome says nothing; one that found it says which id the key has.
      if (output === undefined) return kept;
      return kept === SOME_ID || kept === input.id ? input.id : undefined;
    }
    if (output === undefined) return kept === '' ? SOME_ID : kept;
    if (typeof output === 'string') return undefined;
    if (output.duplicate !== (kept !== '')) return undefined;
    return kept === '' || kept === SOME_ID || kept === output.id ? output.id : undefined;
  },
};
