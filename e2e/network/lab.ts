/**
 * A small network of its own: one namespace as a switch, one namespace per host, veth pairs between. Nothing outside is
 * reached and nothing outside is changed but one address of this process's own, through which it talks to the hosts.
 * Needs root, `ip`, `iptables`, `tc` and `python3` (Debian: iproute2, iptables, python3).
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { SWITCH_PROGRAM, type SwitchRecord, type Unruliness, UnrulySwitch } from './unruly-switch.ts';

/** TEST-NET-2 of RFC 5737: documentation addresses, never routed. */
const SUBNET = '198.51.100';
const OBSERVER_NUMBER = 254;
const PREFIX = 'dl';

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 10_000 });
}

/** Namespaces outlive a process that is killed; each is named by the one that made it. */
function removeAbandoned(): void {
  const listed = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8', timeout: 10_000 });
  for (const [name, pid] of listed.matchAll(new RegExp(`^${PREFIX}(\\d+)(?:hub|n\\d+)\\b`, 'gm'))) {
    if (!existsSync(`/proc/${pid ?? ''}`)) run('ip', 'netns', 'del', name);
  }
}

export interface LabHost {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
}

export class Lab {
  readonly #prefix: string;
  readonly hosts = new Map<string, LabHost>();
  /** What the bridge joins. */
  readonly #ports: string[] = [];
  #unruly: UnrulySwitch | undefined;

  constructor(names: readonly string[]) {
    removeAbandoned();
    this.#prefix = `${PREFIX}${String(process.pid)}`;
    const hub = this.#hub;
    run('ip', 'netns', 'add', hub);
    this.#in(hub, 'ip', 'link', 'add', 'br0', 'type', 'bridge');
    this.#in(hub, 'ip', 'link', 'set', 'br0', 'up');
    names.forEach((name, i) => {
      this.#addHost(name, i + 1);
    });
    this.#addObserver();
  }

  get #hub(): string {
    return `${this.#prefix}hub`;
  }

  get #observerLink(): string {
    return `${this.#prefix}obs`;
  }

  host(name: string): LabHost {
    const host = this.hosts.get(name);
    if (host === undefined) throw new Error(`the lab has no host ${name}`);
    return host;
  }

  /** The command line that runs a program on a host; the program does not outlive this process. */
  commandOn(name: string, program: string, args: readonly string[]): { file: string; args: string[] } {
    const tied = ['setpriv', '--pdeathsig', 'KILL', program, ...args];
    return { file: 'ip', args: ['netns', 'exec', this.host(name).namespace, ...tied] };
  }

  /** Drops a share of all packets that come in at `name`, from everybody. */
  lose(name: string, share: number): void {
    this.#iptables(
      name,
      '-A',
      'INPUT',
      '-m',
      'statistic',
      '--mode',
      'random',
      '--probability',
      String(share),
      '-j',
      'DROP',
    );
  }

  /** `name` gets no UDP from anybody. */
  blockDatagrams(name: string): void {
    this.#iptables(name, '-A', 'INPUT', '-p', 'udp', '-j', 'DROP');
  }

  /** Both ways: nothing passes between the two halves. */
  part(one: readonly string[], other: readonly string[]): void {
    for (const a of one) {
      for (const b of other) {
        this.deafen(a, b);
        this.deafen(b, a);
      }
    }
  }

  /** One way: `to` no longer hears `from`. */
  deafen(to: string, from: string): void {
    this.#iptables(to, '-A', 'INPUT', '-s', this.host(from).address, '-j', 'DROP');
  }

  /** Every TCP segment that comes in at `name` is answered with a reset. */
  reset(name: string): void {
    this.#iptables(name, '-A', 'INPUT', '-p', 'tcp', '-j', 'REJECT', '--reject-with', 'tcp-reset');
  }

  /** Until `calm`, all frames go through a switch that treats them so. */
  async disturb(how: Unruliness): Promise<void> {
    for (const port of this.#ports) this.#in(this.#hub, 'ip', 'link', 'set', port, 'nomaster');
    this.#unruly = await UnrulySwitch.start(['ip', 'netns', 'exec', this.#hub], this.#ports, how);
  }

  /** What the switch did, when there was one. */
  async calm(): Promise<SwitchRecord | undefined> {
    const record = await this.#unruly?.stop();
    this.#unruly = undefined;
    for (const port of this.#ports) this.#in(this.#hub, 'ip', 'link', 'set', port, 'master', 'br0');
    return record;
  }

  /** What leaves `name` is held to `kbit` per second. */
  throttle(name: string, kbit: number): void {
    const { namespace } = this.host(name);
    const rate = `${String(kbit)}kbit`;
    this.#in(namespace, 'tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'handle', '1:', 'htb', 'default', '1');
    this.#in(namespace, 'tc', 'class', 'add', 'dev', 'eth0', 'parent', '1:', 'classid', '1:1', 'htb', 'rate', rate);
  }

  /** Every fault of `name` ends. */
  heal(name: string): void {
    this.#iptables(name, '-F', 'INPUT');
    try {
      this.#in(this.host(name).namespace, 'tc', 'qdisc', 'del', 'dev', 'eth0', 'root');
    } catch {
      // It was not throttled.
    }
  }

  healAll(): void {
    for (const name of this.hosts.keys()) this.heal(name);
  }

  /** Programs on the hosts must have ended. */
  destroy(): void {
    for (const { namespace } of this.hosts.values()) run('ip', 'netns', 'del', namespace);
    run('ip', 'netns', 'del', this.#hub);
  }

  #iptables(name: string, ...args: string[]): void {
    this.#in(this.host(name).namespace, 'iptables', '-w', ...args);
  }

  #in(namespace: string, program: string, ...args: string[]): void {
    run('ip', 'netns', 'exec', namespace, program, ...args);
  }

  #addHost(name: string, number: number): void {
    const host = { name, namespace: `${this.#prefix}n${String(number)}`, address: `${SUBNET}.${String(number)}` };
    run('ip', 'netns', 'add', host.namespace);
    this.hosts.set(name, host);
    const port = `p${String(number)}`;
    this.#in(this.#hub, 'ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host.namespace);
    this.#plug(port);
    this.#in(host.namespace, 'ip', 'link', 'set', 'lo', 'up');
    this.#in(host.namespace, 'ip', 'addr', 'add', `${host.address}/24`, 'dev', 'eth0');
    this.#in(host.namespace, 'ip', 'link', 'set', 'eth0', 'up');
    this.#in(host.namespace, 'python3', SWITCH_PROGRAM, 'plain', 'eth0');
  }

  #addObserver(): void {
    const link = this.#observerLink;
    run('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'pobs', 'netns', this.#hub);
    this.#plug('pobs');
    run('ip', 'addr', 'add', `${SUBNET}.${String(OBSERVER_NUMBER)}/24`, 'dev', link);
    run('ip', 'link', 'set', link, 'up');
    run('python3', SWITCH_PROGRAM, 'plain', link);
  }

  #plug(port: string): void {
    this.#ports.push(port);
    this.#in(this.#hub, 'ip', 'link', 'set', port, 'master', 'br0', 'up');
  }
}
