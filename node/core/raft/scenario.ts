/**
 * Stories of the Raft papers in words: a scenario is a text of one command a line, carried out on a group of real cores
 * (test-group.ts), in which every message waits until it is delivered. The texts are in scenarios/, and README.md there
 * lists the commands.
 */
import { assert } from '../../../base/assert.ts';
import type { Host } from '../../../base/host.ts';
import { encodeEntry } from './entry.ts';
import type { MembershipChange } from './membership.ts';
import { ELECTION_MS_MAX, type Flying, TestGroup, type TestNode } from './test-group.ts';

/** Facts of a node that `expect` knows, as they are written there. */
const FACTS = {
  role: ({ raft }) => raft.role,
  term: ({ raft }) => String(raft.term),
  commit: ({ raft }) => String(raft.commitIndex),
  first: ({ raft }) => String(raft.log.firstIndex),
  last: ({ raft }) => String(raft.log.lastIndex),
  durable: ({ raft }) => String(raft.log.durableIndex),
  follows: ({ raft }) => raft.leaderId ?? '-',
  voted: ({ raft }) => raft.hardState.votedFor ?? '-',
  transfer: ({ raft }) => raft.transferTarget ?? '-',
  voters: ({ raft }) => listed(raft.membership.voters),
  outgoing: ({ raft }) => listed(raft.membership.outgoing),
  learners: ({ raft }) => listed(raft.membership.learners),
  installs: ({ installs }) => String(installs),
  reads: ({ reads }) => listed(reads.map(({ index }) => (index === undefined ? 'lost' : String(index)))),
} satisfies Record<string, (node: TestNode) => string>;

function listed(words: readonly string[]): string {
  return words.length === 0 ? '-' : words.join();
}

export class Scenario {
  readonly #host: Host;
  #group: TestGroup;
  readonly #down = new Set<string>();
  /** Rules by which messages are lost as they are sent. */
  #losses: ((flying: Flying) => boolean)[] = [];

  constructor(host: Host) {
    this.#host = host;
    this.#group = new TestGroup(host, []);
  }

  /** Carries out every line of `text`. @throws Error that names the line and what did not hold. */
  run(text: string): void {
    for (const [position, whole] of text.split('\n').entries()) {
      const line = whole.replace(/(^|\s)#.*$/, '').trim();
      if (line === '') continue;
      try {
        this.#carryOut(line.split(/\s+/));
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`line ${String(position + 1)}, "${line}": ${why}`, { cause: error });
      }
    }
  }

  #carryOut([command = '', ...words]: string[]): void {
    const group = this.#group;
    const [id = ''] = words;
    switch (command) {
      case 'group':
        this.#begin(words);
        break;
      case 'terms':
        this.#preset(id, words.slice(1).map(Number));
        break;
      case 'elect':
        this.#timeout(id);
        group.settle();
        break;
      case 'win':
        this.#timeout(id);
        while (group.deliver(isVote).length > 0);
        break;
      case 'timeout':
        this.#timeout(id);
        break;
      case 'propose':
        this.#propose(id, words[1] ?? '');
        break;
      case 'settle':
        group.settle();
        break;
      case 'run':
        group.run(Number(id), words.length > 1 ? words.slice(1) : this.#up());
        break;
      case 'read':
        assert(group.raft(id).readIndex() !== undefined, 'the read is taken');
        group.collect(id);
        break;
      case 'change':
        group.change(id, changeOf(words.slice(1)));
        group.collect(id);
        break;
      case 'transfer':
        assert(group.raft(id).transferTo(words[1] ?? ''), 'the transfer begins');
        group.collect(id);
        break;
      case 'cut':
        group.cut(id, Number(words[1]));
        break;
      case 'refuse':
        this.#refuse(words);
        break;
      case 'expect':
        this.#expect(id, words.slice(1));
        break;
      default:
        this.#disturb(command, words);
    }
  }

  /** Faults, and what is on the wire. */
  #disturb(command: string, words: string[]): void {
    const [id = ''] = words;
    switch (command) {
      case 'deliver':
        assert(this.#group.deliver(atMost(words[2], matching(words))).length > 0, 'there is something to deliver');
        break;
      case 'drop':
        assert(this.#drop(matching(words)) > 0, 'there is something to drop');
        break;
      case 'lose':
        this.#losses.push(matching(words));
        break;
      case 'partition': {
        const sides = words.join(' ').split('|');
        const sideOf = (node: string): number => sides.findIndex((side) => side.trim().split(' ').includes(node));
        this.#losses.push(({ from, to }) => sideOf(from) !== sideOf(to));
        this.#drop(this.#group.lost);
        break;
      }
      case 'heal':
        this.#losses = [];
        break;
      case 'stall':
        this.#group.node(id).autoFlush = false;
        break;
      case 'flush':
        this.#group.node(id).flush(words[1] === undefined ? undefined : Number(words[1]));
        this.#group.collect(id);
        break;
      case 'unstall':
        this.#group.node(id).autoFlush = true;
        this.#group.collect(id);
        break;
      case 'crash':
        this.#down.add(id);
        this.#drop(this.#group.lost);
        break;
      case 'restart':
        this.#down.delete(id);
        this.#group.node(id).restart();
        break;
      default:
        throw new Error('there is no such command');
    }
  }

  #begin(words: readonly string[]): void {
    const at = words.indexOf('spare');
    const ids = at < 0 ? words : words.slice(0, at);
    this.#group = new TestGroup(this.#host, ids, 1, at < 0 ? [] : words.slice(at + 1));
    this.#group.lost = (flying) =>
      this.#down.has(flying.from) || this.#down.has(flying.to) || this.#losses.some((isLost) => isLost(flying));
  }

  /** A log of empty entries with these terms, as if written long ago; equal beginnings are equal entries. */
  #preset(id: string, terms: readonly number[]): void {
    const node = this.#group.node(id);
    let previousChecksum = 0;
    for (const [position, term] of terms.entries()) {
      const head = { term, index: position + 1, timeMs: 0, wallMs: 0, kind: 1, previousChecksum };
      const { checksum, bytes } = encodeEntry(this.#host, head, this.#host.alloc(0));
      node.disk.entries.set(position + 1, bytes);
      previousChecksum = checksum;
    }
    node.disk.firstIndex = 1;
    node.disk.hardState = { term: terms.at(-1) ?? 0, votedFor: null };
    node.restart();
  }

  #timeout(id: string): void {
    this.#group.nowMs += ELECTION_MS_MAX;
    this.#group.raft(id).tick(this.#group.nowMs);
    this.#group.collect(id);
  }

  /** `x*600000` is as many x: more than goes into one append with what follows. */
  #propose(id: string, word: string): void {
    const [text = '', count = '1'] = word.split('*');
    this.#group.propose(id, text.repeat(Number(count)));
    this.#group.collect(id);
  }

  #drop(which: (flying: Flying) => boolean): number {
    const { wire } = this.#group;
    this.#group.wire = wire.filter((flying) => !which(flying));
    return wire.length - this.#group.wire.length;
  }

  #up(): string[] {
    return [...this.#group.nodes.keys()].filter((id) => !this.#down.has(id));
  }

  /** `refuse read a`, `refuse change a why…`: what cannot be done now, and for a change some words of the reason. */
  #refuse([what = '', id = '', ...why]: string[]): void {
    const raft = this.#group.raft(id);
    if (what === 'read') {
      assert(raft.readIndex() === undefined, 'the read is refused');
      return;
    }
    assert(what === 'change', 'reads and changes can be refused');
    const reason = raft.membershipBusy() ?? 'nothing: it may be changed';
    assert(reason.includes(why.join(' ')), `the reason is ${reason}`);
  }

  #expect(id: string, words: readonly string[]): void {
    if (id === 'wire') {
      const count = Number(words.at(-1));
      const there = this.#group.wire.filter(matching(words.slice(0, -1))).length;
      assert(there === count, `${String(there)} are on the wire`);
      return;
    }
    const node = this.#group.node(id);
    for (let position = 0; position < words.length; position += 2) {
      const [fact = '', wanted = ''] = words.slice(position);
      if (fact === 'log') {
        expectLog(node, words.slice(position + 1));
        return;
      }
      assert(fact in FACTS, `${fact} is no fact that is known`);
      const found = FACTS[fact as keyof typeof FACTS](node);
      assert(found === wanted, `${fact} of ${id} is ${found}`);
    }
  }
}

/** Of each entry its term, or its term and text: `1 1:x 2:-`. */
function expectLog(node: TestNode, wanted: readonly string[]): void {
  const found = node.logText();
  const isEqual =
    found.length === wanted.length && found.every((text, i) => text === wanted[i] || text.split(':')[0] === wanted[i]);
  assert(isEqual, `the log of ${node.id} is ${found.map((text) => text.slice(0, 20)).join(' ')}`);
}

/** `a->b`, `*->b` or `a->*`, and perhaps the kind of message, or `entries` for an append that has any. */
function matching([link = '', kind]: readonly string[]): (flying: Flying) => boolean {
  const [from, to] = link.split('->');
  return (flying) => {
    if ((from !== '*' && from !== flying.from) || (to !== '*' && to !== flying.to)) return false;
    const { message } = flying;
    if (kind === 'entries') return message.kind === 'APPEND_ENTRIES' && message.body.entries.length > 0;
    return kind === undefined || message.kind === kind;
  };
}

/** Holds for the first `count` of those for which `which` does. */
function atMost(count: string | undefined, which: (flying: Flying) => boolean): (flying: Flying) => boolean {
  let left = Number(count ?? Infinity);
  return (flying) => which(flying) && left-- > 0;
}

function isVote({ message: { kind } }: Flying): boolean {
  return kind.startsWith('PRE_VOTE') || kind.startsWith('REQUEST_VOTE');
}

function changeOf([kind = '', ...ids]: readonly string[]): MembershipChange {
  const [first = '', second = ''] = ids;
  switch (kind) {
    case 'learner':
      return { kind: 'addLearner', id: first };
    case 'promote':
    case 'remove':
      return { kind, ids };
    case 'replace':
      return { kind, out: first, in: second };
    default:
      throw new Error(`${kind} is no change of the members`);
  }
}
