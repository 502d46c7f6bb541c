import type { Socket } from 'node:net';

/** Why a socket is not read for a while. */
type Reason = 'link_not_up' | 'answers_unread' | 'turn_used';

/**
 * Whether a socket is read. Node reads up to 2 MiB of one socket before it looks at the next; here a socket that gave
 * its share lets all others go first, so that a large entry holds up no heartbeat.
 */
export class ReadGate {
  readonly #socket: Socket;
  readonly #turnBytes: number;
  readonly #reasons = new Set<Reason>();
  #taken = 0;
  #open = false;

  constructor(socket: Socket, turnBytes: number) {
    this.#socket = socket;
    this.#turnBytes = turnBytes;
  }

  hold(reason: Reason): void {
    if (this.#open) return;
    this.#reasons.add(reason);
    this.#socket.pause();
  }

  release(reason: Reason): void {
    if (this.#reasons.delete(reason) && this.#reasons.size === 0) this.#socket.resume();
  }

  /** So much was read: after its share the socket waits for the next turn of the event loop. */
  took(byteCount: number): void {
    this.#taken += byteCount;
    if (this.#taken < this.#turnBytes) return;
    this.#taken = 0;
    this.hold('turn_used');
    setImmediate(() => {
      this.release('turn_used');
    });
  }

  /** For a socket that is only read to its end: nothing holds it back from now on. */
  open(): void {
    this.#open = true;
    this.#reasons.clear();
    this.#socket.resume();
  }
}
