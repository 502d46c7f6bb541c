/**
 * A TCP relay that holds what passes for a while, each direction in its order: delay and jitter, where the kernel has no
 * netem. Cutting it resets every connection that runs through it.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Random } from '../../base/random.ts';

export interface RelayOptions {
  listen: { host: string; port: number };
  target: { host: string; port: number };
  random: Random;
}

export class Relay {
  readonly #options: RelayOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Each chunk is held for a random time up to this, behind the chunks before it. */
  delayMsMax = 0;

  private constructor(options: RelayOptions) {
    this.#options = options;
    this.#server = createServer((inner) => {
      const outer = connect(options.target);
      this.#pump(inner, outer);
      this.#pump(outer, inner);
    });
  }

  static async start(options: RelayOptions): Promise<Relay> {
    const relay = new Relay(options);
    await new Promise<void>((resolve, reject) => {
      relay.#server.once('error', reject);
      relay.#server.listen(options.listen.port, options.listen.host, resolve);
    });
    return relay;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }

  #pump(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    let freeAtMs = 0;
    from.on('data', (chunk) => {
      const holdMs = this.delayMsMax === 0 ? 0 : this.#options.random.integer(0, this.delayMsMax);
      freeAtMs = Math.max(freeAtMs, performance.now() + holdMs);
      setTimeout(() => to.writable && to.write(chunk), Math.max(0, freeAtMs - performance.now()));
    });
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
