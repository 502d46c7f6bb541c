import { describe, expect, it } from '@jest/globals';
import { Random } from '../../../base/random.ts';
import { nodeHost } from '../../io/host.ts';
import { encodedBytes, type MemberClaim } from '../tlv/messages.ts';
import { STATUS } from './claim.ts';
import { SWIM_DEFAULTS, type SwimConfig } from './swim-config.ts';
import type { GossipMessage, Route, SwimEvent } from './swim-ports.ts';
import { Swim } from './swim.ts';

const PAYLOAD_BYTES_MAX = 1_300;
/** The limit of a connection. */
const FRAME_PAYLOAD_BYTES_MAX = 4 * 1024 * 1024;

/** One member, whose clock and peers are the test. */
class TestMember {
  readonly sent: { route: Route; message: GossipMessage }[] = [];
  readonly events: SwimEvent[] = [];
  readonly swim: Swim;
  nowMs = 0;

  constructor(config: Partial<SwimConfig> = {}) {
    this.swim = new Swim(
      {
        host: nodeHost,
        selfId: 'me',
        cluster: 'c',
        details: detailsOf('me'),
        ceiling: 0,
        config: { ...SWIM_DEFAULTS, ...config },
        random: new Random(1),
        ports: {
          send: (route, message) => this.sent.push({ route, message }),
          persist: (ceiling) => this.asked.push(ceiling),
          event: (event) => this.events.push(event),
        },
        payloadBytesMax: PAYLOAD_BYTES_MAX,
      },
      0,
    );
    this.durable();
  }

  readonly asked: number[] = [];

  durable(): void {
    for (const ceiling of this.asked.splice(0)) this.swim.persisted(ceiling, this.nowMs);
  }

  hear(from: string, claims: readonly MemberClaim[], cluster = 'c'): void {
    const body = { from, cluster, claims };
    this.swim.receive({ over: 'datagram', address: addressOf(from) }, { kind: 'STATE', body }, this.nowMs);
  }

  /** Wakes it as often as it asks for, until then. */
  runTo(untilMs: number): void {
    for (let atMs = this.swim.wakeAtMs; atMs <= untilMs; atMs = this.swim.wakeAtMs) {
      // A little later, as timers are: fractions do not add up to the last bit.
      this.nowMs = Math.max(this.nowMs + 0.01, atMs);
      this.swim.turn(this.nowMs);
    }
    this.nowMs = untilMs;
  }

  statusOf(id: string): string | undefined {
    return this.swim.members().find((member) => member.id === id)?.status;
  }

  kinds(id: string): string[] {
    return this.events.flatMap((event) => ('member' in event && event.member.id === id ? [event.kind] : []));
  }
}

function addressOf(id: string): string {
  return `${id}:7400`;
}

function detailsOf(id: string) {
  return { role: 'worker', address: addressOf(id), softwareVersion: '1', labels: [] };
}

function alive(id: string, incarnation = 1): MemberClaim {
  return { id, incarnation, status: STATUS.alive, details: { ...detailsOf(id), version: 1 } };
}

function failed(id: string, incarnation = 1): MemberClaim {
  return { id, incarnation, status: STATUS.failed, accuser: 'b' };
}

describe('Swim', () => {
  it('suspects, and then fails, who answers nobody', () => {
    const member = new TestMember();
    member.hear('a', [alive('a')]);
    member.runTo(10_000);
    expect(member.kinds('a')).toEqual(['join', 'suspect', 'fail']);
    expect(member.sent.filter(({ message }) => message.kind === 'PING').length).toBeGreaterThan(3);
  });

  it('does not fail on hearsay: who is said to have failed is asked, and has its time', () => {
    const member = new TestMember();
    member.hear('a', [alive('a')]);
    member.hear('b', [alive('b'), failed('a')]);
    expect([member.statusOf('a'), member.kinds('a')]).toEqual(['suspected', ['join', 'suspect']]);
    member.runTo(900);
    expect(member.statusOf('a')).toBe('suspected');
    expect(member.sent.some(({ message }) => message.kind === 'PING' && message.body.target === 'a')).toBe(true);
    member.hear('b', [{ id: 'a', incarnation: 2, status: STATUS.alive }]);
    expect([member.statusOf('a'), member.kinds('a').at(-1)]).toEqual(['alive', 'refute']);
  });

  it('does not fail who is heard from, though its refutation is lost', () => {
    const member = new TestMember();
    member.hear('a', [alive('a')]);
    member.hear('b', [failed('a')]);
    for (let atMs = 200; atMs <= 20_000; atMs += 200) {
      member.runTo(atMs);
      member.hear('a', []);
    }
    expect(member.statusOf('a')).toBe('suspected');
    member.runTo(26_000);
    expect(member.statusOf('a')).toBe('failed');
  });

  it('is not revived by what was said before, only by a higher incarnation', () => {
    const member = new TestMember();
    member.hear('a', [alive('a')]);
    member.runTo(10_000);
    member.hear('b', [alive('a')]);
    expect(member.statusOf('a')).toBe('failed');
    member.hear('a', [alive('a', 2)]);
    expect(member.statusOf('a')).toBe('alive');
  });

  it('refutes at once what is said of itself, and raises its incarnation for it', () => {
    const member = new TestMember();
    member.hear('a', [alive('a')]);
    member.hear('b', [{ ...failed('me'), status: STATUS.suspected }]);
    expect(member.swim.incarnation).toBe(2);
    expect(member.events).toContainEqual({ kind: 'accused', incarnation: 2 });
    member.runTo(150);
    const told = member.sent.flatMap(({ message }) => message.body.claims ?? []).filter(({ id }) => id === 'me');
    expect(told.at(-1)).toMatchObject({ incarnation: 2, status: STATUS.alive });
  });

  it('tells a peer everything in parts that fit into a frame, and that it is all with the last', () => {
    const member = new TestMember();
    const labels = Array.from({ length: 8 }, (_, index) => `label${index}=${'v'.repeat(92)}`);
    const ids = Array.from({ length: 5_000 }, (_, index) => `m${index}`);
    for (const id of ids) {
      member.hear('a', [{ ...alive(id), details: { ...detailsOf(id), labels, version: 1 } }]);
    }
    const newcomer = { from: 'a', cluster: 'c', answer: false, claims: [], newcomer: true };
    const old = { ...newcomer, newcomer: false, answer: true };
    for (const body of [old, newcomer]) {
      member.swim.receive({ over: 'stream', peer: 'a' }, { kind: 'PUSH_PULL', body }, member.nowMs);
    }
    const parts = member.sent.map(({ message }) => message).filter(({ kind }) => kind === 'PUSH_PULL');
    const sizes = parts.map((message) => encodedBytes(nodeHost, message));
    expect(sizes.reduce((sum, size) => sum + size)).toBeGreaterThan(FRAME_PAYLOAD_BYTES_MAX);
    expect(Math.max(...sizes)).toBeLessThan(FRAME_PAYLOAD_BYTES_MAX);
    const told = parts.flatMap(({ body }) => (body.claims ?? []).map(({ id }) => id));
    expect(told).toEqual(['me', ...ids]);
    expect(parts.map(({ body }) => body)).toMatchObject([
      ...Array.from({ length: 3 }, () => ({ answer: true, newcomer: true })),
      { answer: true, newcomer: false },
    ]);
  });

  it('sees that another process goes by its name', () => {
    const member = new TestMember();
    const claim = { ...alive('me', 50), details: { ...detailsOf('me'), address: 'elsewhere:1', version: 9 } };
    member.hear('a', [claim]);
    expect(member.events).toContainEqual({ kind: 'idTaken', address: 'elsewhere:1' });
    expect(member.swim.incarnation).toBe(51);
  });

  it('accuses nobody for the time in which it stood still itself', () => {
    const member = new TestMember();
    member.hear('a', [alive('a')]);
    member.runTo(300);
    const pings = (): number => member.sent.filter(({ message }) => message.kind === 'PING').length;
    while (pings() === 0) member.runTo(member.nowMs + 10);
    member.nowMs += 60_000;
    member.swim.turn(member.nowMs);
    expect(member.events.some(({ kind }) => kind === 'stoodStill')).toBe(true);
    expect(member.statusOf('a')).toBe('alive');
    expect(member.swim.healthScore).toBe(1);
  });
});

describe('Swim, told what no member says', () => {
  const strange: [string, MemberClaim][] = [
    ['a name without end', { id: 'x'.repeat(500), incarnation: 1, status: 0 }],
    ['a status that does not exist', { id: 'x', incarnation: 1, status: 9 }],
    ['a number to which none can be added', { id: 'me', incarnation: Number.MAX_SAFE_INTEGER, status: 1 }],
    ['details too large for a datagram', { ...alive('x'), details: { ...detailsOf('y'.repeat(2_000)), version: 1 } }],
  ];
  it.each(strange)('skips %s, and takes the rest', (_name, claim) => {
    const member = new TestMember();
    member.hear('a', [claim, alive('a')]);
    expect(member.swim.members().map(({ id }) => id)).toEqual(['me', 'a']);
    expect(member.swim.incarnation).toBe(1);
    member.runTo(600);
    const told = member.sent.flatMap(({ message }) => message.body.claims ?? []);
    expect(new Set(told.map(({ id }) => id))).toEqual(new Set(['me', 'a']));
  });

  it('drops messages of other clusters, in its own name, and of a connection in the name of another', () => {
    const member = new TestMember();
    member.hear('a', [alive('a')], 'other');
    member.hear('me', [alive('a')]);
    const body = { from: 'a', cluster: 'c', claims: [alive('a')] };
    member.swim.receive({ over: 'stream', peer: 'b' }, { kind: 'STATE', body }, 0);
    expect(member.swim.members()).toHaveLength(1);
  });

  it('knows no more members than it may', () => {
    const member = new TestMember({ membersMax: 3 });
    for (let index = 0; index < 20; index++) member.hear('a', [alive(`m${index}`)]);
    expect(member.swim.members()).toHaveLength(4);
  });

  it('probes for others no more than it may at a time', () => {
    const member = new TestMember({ relaysMax: 2 });
    for (let sequence = 1; sequence <= 20; sequence++) {
      const body = { sequence, from: 'a', target: 't', cluster: 'c', address: 't:1', claims: [] };
      member.swim.receive({ over: 'datagram', address: 'a:1' }, { kind: 'PING_REQ', body }, 0);
    }
    expect(member.sent.filter(({ message }) => message.kind === 'PING')).toHaveLength(2);
  });

  it('sends no datagram that is too large, however much there is to tell and of itself', () => {
    const member = new TestMember();
    const labels = Array.from({ length: 200 }, (_, index) => `label${index}=${'v'.repeat(40)}`);
    member.swim.describe({ ...detailsOf('me'), labels }, 0);
    for (let index = 0; index < 60; index++) member.hear(`m${index}`, [alive(`m${index}`), failed(`m${index + 1}`)]);
    member.runTo(2_000);
    const sizes = member.sent
      .filter(({ route }) => route.over === 'datagram')
      .map(({ message }) => encodedBytes(nodeHost, message));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(PAYLOAD_BYTES_MAX);
    expect(Math.max(...sizes)).toBeGreaterThan(PAYLOAD_BYTES_MAX / 2);
  });
});
