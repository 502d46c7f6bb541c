/** What a person sees while the demonstration runs: bars on a terminal, a line now and then elsewhere. */
import { SingleBar } from 'cli-progress';

const LINE_EVERY_MS = 2_000;

export class View {
  readonly #terminal = process.stdout.isTTY;
  readonly #startedMs = performance.now();

  say(text: string): void {
    const seconds = ((performance.now() - this.#startedMs) / 1_000).toFixed(1).padStart(5);
    process.stdout.write(`${seconds} s  ${text}\n`);
  }

  /** A bar over `total` steps; `note` is shown beside it and may change with each update. */
  progress(what: string, total: number): { update: (done: number, note?: string) => void; end: () => void } {
    if (this.#terminal) {
      const bar = new SingleBar({ format: `         ${what} {bar} {value}/{total} {note}`, hideCursor: true });
      bar.start(total, 0, { note: '' });
      return {
        update: (done, note) => {
          bar.update(done, note === undefined ? {} : { note });
        },
        end: () => {
          bar.stop();
        },
      };
    }
    let saidMs = performance.now();
    let last = 0;
    let lastNote = '';
    return {
      update: (done, note) => {
        last = done;
        lastNote = note ?? lastNote;
        if (performance.now() - saidMs < LINE_EVERY_MS) return;
        saidMs = performance.now();
        this.say(`${what} ${String(done)}/${String(total)} ${lastNote}`);
      },
      end: () => {
        this.say(`${what} ${String(last)}/${String(total)} ${lastNote}`);
      },
    };
  }
}
