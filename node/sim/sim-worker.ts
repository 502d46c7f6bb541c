/** A worker process: the shipping loop over a simulated network, with plugins that run in virtual time. */
import { decodeText, encodeText } from '../../base/host.ts';
import { Random } from '../../base/random.ts';
import type { Body, Message } from '../core/tlv/messages.ts';
import { nodeHost } from '../io/host.ts';
import type { PeerRole } from '../ports.ts';
import { WorkerNode, type WorkerInput } from '../worker.ts';
import type { SimClock } from './sim-clock.ts';
import type { Endpoint } from './sim-network.ts';
import { SimProcess } from './sim-process.ts';
import { loopLog, workerMetrics } from './sim-telemetry.ts';
import type { World } from './world.ts';

const TICK_US = 100_000;
const TURN_DELAY_US_MAX = 300;
/** Plugins hang only where the time-out of the task soon ends it. */
const HANG_MS_MAX = 10_000;
const CALM_TASK_US_MAX = 20_000;

type Assignment = Body<'TASK_ASSIGN'>;

/** What a plugin is handed, as far as the checks look at it. */
export interface TaskContext {
  message_id: string;
  outputs: Record<string, { token: number } | null>;
}

export type OnTask = (assignment: Assignment, context: TaskContext) => void;

export class SimWorker implements Endpoint {
  readonly id: string;
  readonly role = 'worker';
  readonly process: SimProcess;
  readonly #world: World;
  readonly #clock: SimClock;
  readonly #types: readonly string[];
  readonly #onTask: OnTask;
  readonly #random: Random;
  #worker: WorkerNode | undefined;
  #inbox: WorkerInput[] = [];
  #turnScheduled = false;
  #running = new Set<string>();
  /** Plugins neither fail nor hang any more. */
  calm = false;
  draining = false;

  constructor(world: World, id: string, types: readonly string[], clock: SimClock, onTask: OnTask) {
    this.#world = world;
    this.id = id;
    this.#types = types;
    this.#clock = clock;
    this.#onTask = onTask;
    this.#random = Random.stream(world.seed, `plugins:${id}`);
    this.process = new SimProcess(world.queue);
  }

  get node(): WorkerNode | undefined {
    return this.#worker;
  }

  boot(): void {
    const { trace, network, plan } = this.#world;
    this.process.start();
    const { incarnation } = this.process;
    trace.note(this.id, `start ${incarnation}`);
    this.draining = false;
    this.#inbox = [];
    this.#turnScheduled = false;
    this.#running = new Set();
    this.#worker = new WorkerNode(
      {
        workerId: this.id,
        session: `${this.id}/${incarnation}`,
        capacity: plan.workerCapacity,
        address: `${this.id}:1`,
        types: this.#types.map((name) => ({ name, version: '1' })),
      },
      {
        send: (to, message) => network.send(this.id, to, message),
        run: (assignment) => this.#run(assignment),
        cancel: (attempt) => this.#running.delete(runKey(attempt)),
        log: loopLog(trace, this.id),
      },
      workerMetrics(),
    );
    network.started(this.id);
    this.#tick();
  }

  crash(): void {
    if (!this.process.alive) return;
    this.#world.trace.note(this.id, 'crash');
    this.process.stop();
    this.#worker = undefined;
    this.#world.network.stopped(this.id);
  }

  drain(): void {
    this.draining = true;
    this.process.deliver(() => this.#take({ kind: 'drain' }));
  }

  onMessage(from: string, message: Message): void {
    this.#take({ kind: 'message', from, message });
  }

  onPeerUp(peer: string, _role: PeerRole): void {
    this.#take({ kind: 'peerUp', peer });
  }

  onPeerDown(peer: string, _role: PeerRole): void {
    this.#take({ kind: 'peerDown', peer });
  }

  #run(assignment: Assignment): void {
    this.#onTask(assignment, JSON.parse(decodeText(nodeHost, assignment.context)) as TaskContext);
    const { instanceId, taskId, token } = assignment;
    const key = runKey(assignment);
    this.#running.add(key);
    const random = this.#random;
    const isHung = !this.calm && assignment.timeoutMs <= HANG_MS_MAX && random.chance(0.03);
    if (isHung) this.#world.counters.add('plugin hangs');
    const timeoutUs = assignment.timeoutMs * 1_000;
    const workUs = random.integer(100, this.calm ? CALM_TASK_US_MAX : this.#world.plan.taskMsMax * 1_000);
    const durationUs = isHung ? timeoutUs : workUs;
    const fate = this.calm ? 1 : random.fraction();
    const output = encodeText(nodeHost, JSON.stringify({ token }));
    const attempt = { instanceId, taskId, token };
    this.process.deliverAfter(durationUs, () => {
      if (!this.#running.delete(key)) return;
      // The plugin host ends what runs over its time.
      if (isHung) this.#finished({ ...attempt, status: 'retryable', error: 'timed out' });
      else if (fate < 0.05) this.#finished({ ...attempt, status: 'retryable', error: 'try again' });
      else if (fate < 0.07) this.#finished({ ...attempt, status: 'terminal', error: 'hopeless' });
      else this.#finished({ ...attempt, status: 'ok', output });
    });
  }

  #finished(result: Extract<WorkerInput, { kind: 'finished' }>['result']): void {
    this.#take({ kind: 'finished', result });
  }

  #tick(): void {
    this.process.deliverAfter(TICK_US, () => {
      this.#take({ kind: 'tick' });
      this.#tick();
    });
  }

  #take(input: WorkerInput): void {
    this.#inbox.push(input);
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    this.process.deliverAfter(this.#random.integer(0, TURN_DELAY_US_MAX), () => {
      this.#turnScheduled = false;
      const worker = this.#worker;
      if (worker === undefined) return;
      const now = this.#clock.now();
      const inbox = this.#inbox;
      this.#inbox = [];
      for (const one of inbox) worker.step(one, now);
      worker.turn(now);
    });
  }
}

function runKey({ instanceId, taskId, token }: { instanceId: string; taskId: string; token: number }): string {
  return `${instanceId}/${taskId}#${token}`;
}
