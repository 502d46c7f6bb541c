/**
 * Is there an order of these operations, each taking effect at one moment between its call and its return, that a single
 * copy of the object would have answered the same way? (Herlihy & Wing, "Linearizability", 1990.)
 *
 * The search is Wing & Gong's with Lowe's memory of what was tried ("Testing for linearizability", 2017): a set of
 * operations done, together with the state they led to, is never gone into twice. Objects are independent, so each is
 * judged alone (`linearizable` of one, `violations` of many).
 */

export interface Operation<I, O> {
  input: I;
  calledAt: number;
  /** What came back, and when; without it the outcome is not known: it may take effect at any time later, or never. */
  returned?: { at: number; output: O };
}

/** One copy of the object, without any concurrency. States are compared by what `String` makes of them. */
export interface Model<S extends string | number, I, O> {
  initial: S;
  /** The state after `input` answered `output` (undefined: any answer); undefined: this state cannot answer so. */
  step(state: S, input: I, output: O | undefined): S | undefined;
}

/** Steps of one search; a history that needs more is not judged. */
const STEPS_MAX = 200_000;

export type Verdict = 'linearizable' | 'not linearizable' | 'too long to judge';

/** A call or a return, in a doubly linked list by time. */
interface Mark {
  operation: number;
  /** Of a call: its return, if there was one. */
  match: Mark | undefined;
  isCall: boolean;
  before: Mark | undefined;
  after: Mark | undefined;
}

export function linearizable<S extends string | number, I, O>(
  model: Model<S, I, O>,
  operations: readonly Operation<I, O>[],
): Verdict {
  const head = listOf(operations);
  const done = new Uint8Array(operations.length);
  const tried = new Set<string>();
  const stack: { call: Mark; state: S }[] = [];
  let { initial: state } = model;
  let unreturned = operations.filter(({ returned }) => returned !== undefined).length;
  let mark = head.after;
  for (let steps = 0; unreturned > 0; steps++) {
    if (steps >= STEPS_MAX) return 'too long to judge';
    if (mark?.isCall === true) {
      const operation = operations[mark.operation];
      const next = operation && model.step(state, operation.input, operation.returned?.output);
      if (next !== undefined) {
        done[mark.operation] = 1;
        const key = `${String(next)} ${done.join('')}`;
        if (!tried.has(key)) {
          tried.add(key);
          stack.push({ call: mark, state });
          state = next;
          if (mark.match !== undefined) unreturned--;
          lift(mark);
          mark = head.after;
          continue;
        }
        done[mark.operation] = 0;
      }
      mark = mark.after;
      continue;
    }
    // Something returns that has not taken effect yet (or the end is there): the last choice was wrong.
    const last = stack.pop();
    if (last === undefined) return 'not linearizable';
    ({ state } = last);
    done[last.call.operation] = 0;
    if (last.call.match !== undefined) unreturned++;
    unlift(last.call);
    mark = last.call.after;
  }
  return 'linearizable';
}

/** The objects whose histories no single copy explains, each with the operations up to the first that cannot be. */
export function violations<S extends string | number, I, O>(
  model: Model<S, I, O>,
  histories: ReadonlyMap<string, readonly Operation<I, O>[]>,
): { object: string; operations: readonly Operation<I, O>[] }[] {
  const found: { object: string; operations: readonly Operation<I, O>[] }[] = [];
  for (const [object, operations] of histories) {
    if (linearizable(model, operations) !== 'not linearizable') continue;
    found.push({ object, operations: firstWrong(model, operations) });
  }
  return found;
}

/** A history is wrong from some return on: what came after it explains nothing. */
function firstWrong<S extends string | number, I, O>(
  model: Model<S, I, O>,
  operations: readonly Operation<I, O>[],
): readonly Operation<I, O>[] {
  const returns = operations.flatMap(({ returned }) => returned?.at ?? []).sort((a, b) => a - b);
  let low = 0;
  let high = returns.length - 1;
  const upTo = (position: number): Operation<I, O>[] => {
    const endAt = returns[position] ?? Infinity;
    return operations
      .filter(({ calledAt }) => calledAt <= endAt)
      .map((one) => (one.returned !== undefined && one.returned.at > endAt ? withoutReturn(one) : one));
  };
  while (low < high) {
    const middle = (low + high) >> 1;
    if (linearizable(model, upTo(middle)) === 'not linearizable') high = middle;
    else low = middle + 1;
  }
  return upTo(low);
}

function withoutReturn<I, O>({ input, calledAt }: Operation<I, O>): Operation<I, O> {
  return { input, calledAt };
}

/** At equal times calls come first: operations that touch count as overlapping. */
function listOf<I, O>(operations: readonly Operation<I, O>[]): Mark {
  const marks: { at: number; mark: Mark }[] = [];
  operations.forEach(({ calledAt, returned }, operation) => {
    const call: Mark = { operation, match: undefined, isCall: true, before: undefined, after: undefined };
    marks.push({ at: calledAt, mark: call });
    if (returned === undefined) return;
    call.match = { operation, match: undefined, isCall: false, before: undefined, after: undefined };
    marks.push({ at: returned.at, mark: call.match });
  });
  marks.sort((a, b) => a.at - b.at || Number(b.mark.isCall) - Number(a.mark.isCall));
  const head: Mark = { operation: -1, match: undefined, isCall: false, before: undefined, after: undefined };
  let last = head;
  for (const { mark } of marks) {
    last.after = mark;
    mark.before = last;
    last = mark;
  }
  return head;
}

/** Takes a call and its return out of the list; `unlift` puts them back, in the opposite order. */
function lift(call: Mark): void {
  for (const mark of call.match === undefined ? [call] : [call, call.match]) {
    if (mark.before !== undefined) mark.before.after = mark.after;
    if (mark.after !== undefined) mark.after.before = mark.before;
  }
}

function unlift(call: Mark): void {
  for (const mark of call.match === undefined ? [call] : [call.match, call]) {
    if (mark.before !== undefined) mark.before.after = mark;
    if (mark.after !== undefined) mark.after.before = mark;
  }
}
