/** How long probes take until they are answered. One that was sent again is no measure: which one is answered? (Karn) */
const WAITING_MAX = 1_024;

export class ProbeTimes {
  /** When each was sent, by sequence; undefined: more than once. */
  readonly #sent = new Map<number, number | undefined>();

  sent(sequence: number, nowMs: number): void {
    this.#sent.set(sequence, this.#sent.has(sequence) ? undefined : nowMs);
    if (this.#sent.size <= WAITING_MAX) return;
    const [oldest] = this.#sent.keys();
    if (oldest !== undefined) this.#sent.delete(oldest);
  }

  /** In ms; undefined when it is not known. */
  answered(sequence: number, nowMs: number): number | undefined {
    const sentMs = this.#sent.get(sequence);
    this.#sent.delete(sequence);
    return sentMs === undefined ? undefined : nowMs - sentMs;
  }
}
