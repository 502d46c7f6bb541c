interface PipelineLimits {
  /** False: nothing more is read from the source for now. */
  hasRoom: () => boolean;
  underWayMax: number;
}

/** Calls `work` for all that `source` gives, many at once, and gives the results in order, each as soon as it can. */
export async function* pipelined<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  work: (one: T) => Promise<R>,
  { hasRoom, underWayMax }: PipelineLimits,
): AsyncGenerator<R> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const underWay: Promise<R>[] = [];
  let reading: Promise<IteratorResult<T>> | undefined;
  let ended = false;
  try {
    for (;;) {
      const [oldest] = underWay;
      if (!ended && (oldest === undefined || (hasRoom() && underWay.length < underWayMax))) {
        reading ??= Promise.resolve(iterator.next());
      }
      if (reading === undefined) {
        if (oldest === undefined) return;
        yield await oldest;
        void underWay.shift();
        continue;
      }
      const answered = oldest?.then(() => undefined);
      const read = await (answered === undefined ? reading : Promise.race([answered, reading]));
      if (read === undefined && oldest !== undefined) {
        yield await oldest;
        void underWay.shift();
        continue;
      }
      reading = undefined;
      if (read === undefined || read.done === true) ended = true;
      else {
        const result = work(read.value);
        // It is awaited in its turn, perhaps after another one has failed.
        result.catch(() => undefined);
        underWay.push(result);
      }
    }
  } finally {
    if (!ended) await iterator.return?.();
  }
}
