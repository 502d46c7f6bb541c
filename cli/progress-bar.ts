import { SingleBar } from 'cli-progress';
import type { Session } from './session.ts';

/** A bar on a terminal, nothing anywhere else. Bytes are told in MiB. */
export class ProgressBar {
  readonly #bar: SingleBar | undefined;
  #started = false;

  constructor({ io, options }: Session, what: string) {
    if (options.output !== 'table' || io.stderr.isTTY !== true) return;
    const format = `${what} {bar} {percentage}% of {mib} MiB`;
    this.#bar = new SingleBar({ format, hideCursor: true, stream: process.stderr });
  }

  readonly update = (done: number, total: number): void => {
    if (!this.#started) this.#bar?.start(total, 0, { mib: (total / 2 ** 20).toFixed(1) });
    this.#started = true;
    this.#bar?.update(done);
  };

  stop(): void {
    if (this.#started) this.#bar?.stop();
  }
}
