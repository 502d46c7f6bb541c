/**
 * The loop of a worker: registers with the leader, runs the attempts it is given, reports until acknowledged.
 * Synchronous and pure like the coordinator's loop; the plugin host is its driver.
 *
 * Invariants
 * 1. A finished attempt is kept and reported, to whoever leads, until a leader has acknowledged it.
 * 2. An attempt (instance, task, token) is started once, however often it is pushed.
 * 3. Of one task only the attempt with the highest token runs on.
 */
import type { Infer } from './core/tlv/struct.ts';
import type { AttemptKey, Body, Message, PluginTypeInfo, ResultItem, SlotReservation } from './core/tlv/messages.ts';
import type { WorkerMetrics } from './metrics.ts';
import type { LoopLog, Now } from './ports.ts';

/** Registration is tried again after this. */
export const HELLO_RETRY_MS = 1_000;
/** At least this long between two, however often coordinators say to try elsewhere or again. */
export const HELLO_REDIRECT_MS = 20;
/** A report without acknowledgement is sent again after this. */
export const REPORT_RETRY_MS = 3_000;
/** Outputs and errors of one report, in bytes; a frame takes 4 MiB, and a report that does not fit never arrives. */
export const REPORT_BYTES_MAX = 1024 * 1024;
/** From one word on the use of the machine to the next. */
const USAGE_MS = 5_000;
/** Attempts held at once, running or waiting for their acknowledgement, per slot. */
const ATTEMPTS_PER_SLOT_MAX = 64;

export interface WorkerConfig {
  workerId: string;
  /** New at each start of the process. */
  session: string;
  capacity: number;
  address: string;
  types: readonly Infer<typeof PluginTypeInfo>[];
  zone?: string | undefined;
  /** `name=value` */
  labels?: readonly string[];
  softwareVersion?: string;
  /** Slots kept for some tasks. */
  reserved?: readonly Infer<typeof SlotReservation>[];
}

export interface WorkerPorts {
  send(to: string, message: Message): boolean;
  /** Starts the attempt; its end comes back as a 'finished' input. */
  run(assignment: Body<'TASK_ASSIGN'>): void;
  cancel(attempt: Infer<typeof AttemptKey>): void;
  /** Shares of the machine's processors and memory in use, 0 to 1; undefined: nothing is told of them. */
  usage?(): { cpu: number; memory: number } | undefined;
  log: LoopLog;
}

export type WorkerInput =
  | { kind: 'tick' }
  | { kind: 'message'; from: string; message: Message }
  | { kind: 'peerUp'; peer: string }
  | { kind: 'peerDown'; peer: string }
  /** By gossip, which may be behind. */
  | { kind: 'leaderNamed'; leader: string }
  | { kind: 'finished'; result: Infer<typeof ResultItem> }
  /** No new tasks from now on; `left` is true once everything is reported. */
  | { kind: 'drain' }
  /** The time to finish is over: what still runs is called off, and given back by leaving. */
  | { kind: 'handBack' };

interface Attempt {
  key: Infer<typeof AttemptKey>;
  type: string;
  startedMs: number;
  /** Set once it is finished. */
  result: Infer<typeof ResultItem> | undefined;
  reportedMs: number;
}

function textKey({ instanceId, taskId, token }: Infer<typeof AttemptKey>): string {
  return `${instanceId}/${taskId}#${String(token)}`;
}

export class WorkerNode {
  readonly #config: WorkerConfig;
  readonly #ports: WorkerPorts;
  readonly #metrics: WorkerMetrics;
  readonly #connected = new Set<string>();
  readonly #attempts = new Map<string, Attempt>();
  #leaderId: string | undefined;
  /** Who leads, as gossip had it last. */
  #named: string | undefined;
  #registered = false;
  #helloSentMs = -Infinity;
  #helloDueMs = 0;
  /** Last asked for who leads, when nobody had named it. */
  #asked = '';
  /** No leader in reach: when to ask another coordinator. */
  #seekDueMs: number | undefined;
  #draining = false;
  #drainSent = false;
  #usageDueMs = 0;
  #leavingSent = false;
  #nowMs = 0;

  constructor(config: WorkerConfig, ports: WorkerPorts, metrics: WorkerMetrics) {
    this.#config = config;
    this.#ports = ports;
    this.#metrics = metrics;
  }

  /** The leader this worker is registered with. */
  get registeredWith(): string | undefined {
    return this.#registered ? this.#leaderId : undefined;
  }

  get running(): number {
    let running = 0;
    for (const { result } of this.#attempts.values()) if (result === undefined) running++;
    return running;
  }

  /** Draining, nothing runs, and everything is acknowledged and said. */
  get left(): boolean {
    return this.#draining && this.#attempts.size === 0 && (this.#leavingSent || !this.#registered);
  }

  step(input: WorkerInput, now: Now): void {
    this.#nowMs = now.monotonicMs;
    switch (input.kind) {
      case 'tick':
        break;
      case 'peerUp':
        this.#connected.add(input.peer);
        break;
      case 'peerDown':
        this.#connected.delete(input.peer);
        if (input.peer === this.#leaderId) this.#forgetLeader();
        break;
      case 'leaderNamed':
        this.#named = input.leader;
        if (this.#registered || input.leader === this.#leaderId) break;
        this.#leaderId = input.leader;
        this.#helloDueMs = Math.min(this.#helloDueMs, this.#helloSentMs + HELLO_REDIRECT_MS);
        break;
      case 'message':
        this.#onMessage(input.from, input.message);
        break;
      case 'finished':
        this.#onFinished(input.result);
        break;
      case 'drain':
        this.#draining = true;
        break;
      case 'handBack':
        for (const { key, result } of [...this.#attempts.values()]) if (result === undefined) this.#cancel(key);
        break;
    }
  }

  /** Sends what is due: registration, reports, the drain notice. */
  turn(now: Now): void {
    this.#nowMs = now.monotonicMs;
    if (!this.#registered) {
      // Taken off the list as it asked: another registration would bring it back for as long as it still runs.
      if (!this.#leavingSent) this.#register();
      return;
    }
    this.#report();
    this.#tellUsage();
    if (this.#draining) this.#sayDrain();
  }

  #forgetLeader(): void {
    this.#leaderId = this.#named === this.#leaderId ? undefined : this.#named;
    this.#named = undefined;
    this.#registered = false;
    this.#drainSent = false;
    this.#usageDueMs = 0;
    this.#metrics.connected(null);
  }

  #onMessage(from: string, message: Message): void {
    switch (message.kind) {
      case 'WORKER_WELCOME':
        this.#onWelcome(from, message.body);
        break;
      case 'TASK_ASSIGN':
        this.#onAssign(message.body);
        break;
      case 'TASK_CANCEL':
        for (const key of message.body.attempts) this.#cancel(key);
        break;
      case 'TASK_STATUS':
        for (const ack of message.body.acks) this.#onAcknowledged(ack);
        break;
      default:
        this.#ports.log.warn({ component: 'worker', from, message: message.kind }, 'message is not for a worker');
    }
  }

  #onWelcome(from: string, { session, registered, leaderId }: Body<'WORKER_WELCOME'>): void {
    if (registered) {
      if (session !== this.#config.session) return;
      this.#leaderId = from;
      this.#registered = true;
      this.#metrics.connected(from);
      this.#ports.log.info({ component: 'worker', leader: from }, 'registered');
      // A leader that registers us may be new: it has not seen the reports the last one did not acknowledge.
      for (const attempt of this.#attempts.values()) attempt.reportedMs = -Infinity;
      return;
    }
    // Told by the leader itself that it does not know us (any more), or by another coordinator who leads.
    if (leaderId === '' && (from !== this.#leaderId || !this.#registered)) {
      if (from === this.#leaderId) this.#leaderId = this.#another();
      return;
    }
    const leader = leaderId === '' ? from : leaderId;
    if (this.#registered && leader === this.#leaderId && from !== leader) return;
    this.#leaderId = leader;
    this.#registered = false;
    this.#helloDueMs = this.#helloSentMs + HELLO_REDIRECT_MS;
  }

  /** The coordinator to ask next, each in its turn: one that was removed may name a leader of the past for ever. */
  #another(): string | undefined {
    const ids = [...this.#connected];
    const first = ids.indexOf(this.#asked) + 1;
    const others = [...ids.slice(first), ...ids.slice(0, first)];
    const next = others.find((id) => id !== this.#leaderId) ?? others[0];
    this.#asked = next ?? '';
    return next;
  }

  /** Whoever was named as the leader, once there is a connection to it; after a while without one, anybody. */
  #whomToAsk(): string | undefined {
    if (this.#leaderId !== undefined && this.#connected.has(this.#leaderId)) {
      this.#seekDueMs = undefined;
      return this.#leaderId;
    }
    this.#seekDueMs ??= this.#nowMs + HELLO_RETRY_MS;
    if (this.#nowMs < this.#seekDueMs) return undefined;
    this.#seekDueMs = undefined;
    return this.#another();
  }

  #register(): void {
    if (this.#nowMs < this.#helloDueMs) return;
    const leader = this.#whomToAsk();
    if (leader === undefined) return;
    this.#leaderId = leader;
    this.#helloSentMs = this.#nowMs;
    this.#helloDueMs = this.#nowMs + HELLO_RETRY_MS;
    const { zone, ...told } = this.#config;
    const attempts = [...this.#attempts.values()].map(({ key }) => key);
    const body = { ...told, attempts, draining: this.#draining, ...(zone === undefined ? {} : { zone }) };
    this.#ports.send(leader, { kind: 'WORKER_HELLO', body });
  }

  #onAssign(assignment: Body<'TASK_ASSIGN'>): void {
    const { instanceId, taskId, token, type } = assignment;
    const key = { instanceId, taskId, token };
    // Once it said that it leaves, the leader gives whatever was on its way to another one.
    if (this.#leavingSent || this.#attempts.has(textKey(key))) return;
    if (this.#attempts.size >= this.#config.capacity * ATTEMPTS_PER_SLOT_MAX) {
      this.#ports.log.error({ component: 'worker', instanceId, taskId }, 'too many attempts held: refused one');
      return;
    }
    for (const other of this.#attempts.values()) {
      if (other.key.instanceId !== instanceId || other.key.taskId !== taskId) continue;
      // A late copy of an older attempt is not worth starting; a newer one replaces what still runs.
      if (other.key.token > token) return;
      this.#cancel(other.key);
    }
    this.#attempts.set(textKey(key), { key, type, startedMs: this.#nowMs, result: undefined, reportedMs: -Infinity });
    this.#metrics.taskStarted(type);
    this.#metrics.slots(this.running, this.#config.capacity);
    this.#ports.run(assignment);
  }

  #cancel(key: Infer<typeof AttemptKey>): void {
    const attempt = this.#attempts.get(textKey(key));
    if (attempt === undefined) return;
    if (attempt.result === undefined) this.#ports.cancel(key);
    this.#attempts.delete(textKey(key));
    this.#metrics.slots(this.running, this.#config.capacity);
  }

  #onFinished(result: Infer<typeof ResultItem>): void {
    const attempt = this.#attempts.get(textKey(result));
    // Cancelled meanwhile: nobody waits for it.
    if (attempt === undefined || attempt.result !== undefined) return;
    attempt.result = result;
    this.#metrics.taskFinished(attempt.type, result.status, (this.#nowMs - attempt.startedMs) / 1_000);
    this.#metrics.slots(this.running, this.#config.capacity);
  }

  #onAcknowledged(ack: Body<'TASK_STATUS'>['acks'][number]): void {
    const attempt = this.#attempts.get(textKey(ack));
    if (attempt?.result === undefined) return;
    this.#attempts.delete(textKey(ack));
    if (!ack.accepted) {
      const { instanceId, taskId, token } = ack;
      this.#ports.log.warn(
        { component: 'worker', instanceId, taskId, token },
        'STALE_ATTEMPT: the result came too late',
      );
    }
  }

  #report(): void {
    const leader = this.#leaderId;
    if (leader === undefined) return;
    let results: Infer<typeof ResultItem>[] = [];
    let bytes = 0;
    const send = (): void => {
      this.#ports.send(leader, { kind: 'TASK_RESULT', body: { session: this.#config.session, results } });
      results = [];
      bytes = 0;
    };
    for (const attempt of this.#attempts.values()) {
      if (attempt.result === undefined || this.#nowMs - attempt.reportedMs < REPORT_RETRY_MS) continue;
      attempt.reportedMs = this.#nowMs;
      const { output, error } = attempt.result;
      const more = (output?.length ?? 0) + (error?.length ?? 0);
      if (results.length > 0 && bytes + more > REPORT_BYTES_MAX) send();
      results.push(attempt.result);
      bytes += more;
    }
    if (results.length > 0) send();
  }

  #tellUsage(): void {
    if (this.#leaderId === undefined || this.#nowMs < this.#usageDueMs) return;
    this.#usageDueMs = this.#nowMs + USAGE_MS;
    const usage = this.#ports.usage?.();
    if (usage === undefined) return;
    const { cpu, memory } = usage;
    const parts = (share: number): number => Math.round(1_000 * Math.min(1, Math.max(0, share)));
    const body = { session: this.#config.session, cpuParts: parts(cpu), memoryParts: parts(memory) };
    this.#ports.send(this.#leaderId, { kind: 'WORKER_USAGE', body });
  }

  #sayDrain(): void {
    const leader = this.#leaderId;
    if (leader === undefined) return;
    const { session } = this.#config;
    if (!this.#drainSent) {
      this.#drainSent = this.#ports.send(leader, { kind: 'WORKER_DRAIN', body: { session, leaving: false } });
    }
    if (this.#attempts.size > 0 || this.#leavingSent) return;
    this.#leavingSent = this.#ports.send(leader, { kind: 'WORKER_DRAIN', body: { session, leaving: true } });
  }
}
