const BUCKET = /^distric_raft_commit_duration_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm;

/** A histogram as Prometheus has it: how many observations were at most so large, for each bound. */
export class CommitHistogram {
  readonly #counts: ReadonlyMap<number, number>;

  /** By the upper bound in seconds, ascending, Infinity the last. */
  constructor(counts: ReadonlyMap<number, number>) {
    this.#counts = counts;
  }

  /** What was added to `earlier`. */
  since(earlier: CommitHistogram): CommitHistogram {
    return new CommitHistogram(
      new Map([...this.#counts].map(([bound, count]) => [bound, count - (earlier.#counts.get(bound) ?? 0)])),
    );
  }

  /** As `histogram_quantile` has it: evenly within a bucket; above the last bound that bound. 0 without observations. */
  percentileMs(share: number): number {
    const rank = share * Math.max(0, ...this.#counts.values());
    let lower = 0;
    let below = 0;
    for (const [bound, count] of this.#counts) {
      if (count >= rank && count > below) {
        return 1_000 * (bound === Infinity ? lower : lower + ((bound - lower) * (rank - below)) / (count - below));
      }
      lower = bound;
      below = count;
    }
    return 0;
  }
}

export function parseCommits(exposition: string): CommitHistogram {
  const counts = [...exposition.matchAll(BUCKET)].map(([, bound = '', count]) => {
    return [bound === '+Inf' ? Infinity : Number(bound), Number(count)] as const;
  });
  if (counts.length === 0) throw new Error('the metrics have no histogram of commits');
  return new CommitHistogram(new Map(counts));
}

/** `address`: of a node's observability server. */
export async function readCommits(address: string): Promise<CommitHistogram> {
  const response = await fetch(`http://${address}/metrics`);
  return parseCommits(await response.text());
}
