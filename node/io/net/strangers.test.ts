import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { Strangers } from './strangers.ts';

/** As much of a socket as is asked for. */
function stranger(remoteAddress: string, remotePort: number): Socket {
  return Object.assign(new EventEmitter(), { remoteAddress, remotePort }) as unknown as Socket;
}

describe('Strangers', () => {
  it('takes the hosts of an IPv6 network for one source: it closes the oldest of them for the next', () => {
    const strangers = new Strangers({ strangersMax: 100, strangersPerAddressMax: 3 });
    const taken = [1, 2, 3].map((n) => stranger(`2001:db8:0:1::${String(n)}`, 40_000));
    expect(taken.map((one) => strangers.take(one))).toEqual([undefined, undefined, undefined]);
    expect(strangers.take(stranger('2001:db8:0:2::1', 40_000))).toBeUndefined();
    expect(strangers.take(stranger('2001:db8:0:1::4', 40_000))).toBe(taken[0]);
    expect(strangers.take(stranger('2001:db8:0:1::5', 40_000))).toBe(taken[1]);
  });

  it('makes room for another source where most is taken', () => {
    const strangers = new Strangers({ strangersMax: 5, strangersPerAddressMax: 3 });
    const few = [1, 2].map((port) => stranger('192.0.2.1', port));
    const many = [1, 2, 3].map((port) => stranger('192.0.2.2', port));
    for (const one of [...few, ...many]) expect(strangers.take(one)).toBeUndefined();
    expect(strangers.take(stranger('10.0.0.2', 1))).toBe(many[0]);
  });

  it('counts nobody who is known or has gone', () => {
    const strangers = new Strangers({ strangersMax: 2, strangersPerAddressMax: 2 });
    const [first, second, third] = [1, 2, 3].map((port) => stranger('10.0.0.2', port));
    for (const one of [first, second]) strangers.take(one as Socket);
    strangers.known('10.0.0.2:1');
    expect(strangers.take(third as Socket)).toBeUndefined();
    second?.emit('close');
    const fourth = stranger('10.0.0.2', 2);
    expect(strangers.take(fourth)).toBeUndefined();
    // It closed before, and the port is another one's now.
    first?.emit('close');
    expect(strangers.take(stranger('10.0.0.2', 5))).toBe(third);
    expect(strangers.take(stranger('10.0.0.2', 6))).toBe(fourth);
  });
});
