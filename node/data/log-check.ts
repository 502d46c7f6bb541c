import { decodeEntry, type Entry } from '../core/raft/entry.ts';
import { nodeHost } from '../io/host.ts';
import type { LogView } from '../io/lmdb/log-view.ts';

/** What is wrong with the entries of a log and its records, in words; nothing when all is well. */
export function* logFaults(log: LogView): Generator<string> {
  const { boot, hardState } = log;
  if (typeof boot?.dataUuid !== 'string') yield 'log: there is no boot record';
  if (hardState !== undefined && !(Number.isSafeInteger(hardState.term) && hardState.term >= 0)) {
    yield 'log: the term is no number';
  }
  let before: Entry | undefined;
  for (const { index, bytes } of log.entries()) {
    const name = `log: entry ${String(index)}`;
    const entry = decodeEntry(nodeHost, bytes);
    if (before !== undefined && index !== before.index + 1) {
      yield `log: entries ${String(before.index + 1)} to ${String(index - 1)} are missing`;
      before = undefined;
    }
    if (entry === undefined) {
      yield `${name} is damaged: its checksum is not that of its content`;
      before = undefined;
      continue;
    }
    if (entry.index !== index) yield `${name} says that it is entry ${String(entry.index)}`;
    if (before !== undefined) {
      if (entry.previousChecksum !== before.checksum) yield `${name} does not continue the entry before it`;
      if (entry.term < before.term) yield `${name} is of an earlier term than the one before it`;
    }
    if (entry.term > (hardState?.term ?? 0))
      yield `${name} is of term ${String(entry.term)}, which this node never saw`;
    before = { ...entry, index };
  }
}
