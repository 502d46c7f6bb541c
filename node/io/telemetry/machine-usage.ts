import { cpus, totalmem } from 'node:os';

/** How busy the machine is, or the part of it that this process may use. */
export class MachineUsage {
  #before = processorTimes();

  /** Shares in use, 0 to 1: of the processors since the last call, of memory now. */
  take(): { cpu: number; memory: number } {
    const now = processorTimes();
    const all = now.all - this.#before.all;
    const idle = now.idle - this.#before.idle;
    this.#before = now;
    // A limit of a container; without one it is none, or beyond all there is.
    const limit = process.constrainedMemory();
    const memoryBytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
    const cpu = all > 0 ? 1 - idle / all : 0;
    return { cpu, memory: Math.max(0, 1 - process.availableMemory() / memoryBytes) };
  }
}

function processorTimes(): { all: number; idle: number } {
  let all = 0;
  let idle = 0;
  for (const { times } of cpus()) {
    all += times.user + times.nice + times.sys + times.idle + times.irq;
    idle += times.idle;
  }
  return { all, idle };
}
