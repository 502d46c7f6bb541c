import { afterEach, describe, expect, it } from '@jest/globals';
import { TcpPool, type Pooled, type PoolLimits } from './tcp-pool.ts';

class FakeSocket implements Pooled {
  readonly number: number;
  usable = true;
  ended = '';

  constructor(number: number) {
    this.number = number;
  }

  drain(reason: string): void {
    this.usable = false;
    this.ended = reason;
  }
}

interface Made {
  pool: TcpPool<FakeSocket>;
  opened: FakeSocket[];
  seen: { size: number; reused: number; acquired: number };
  fail: { next: boolean };
}

const pools: TcpPool<FakeSocket>[] = [];

function make(limits: Partial<PoolLimits> = {}): Made {
  const opened: FakeSocket[] = [];
  const seen = { size: 0, reused: 0, acquired: 0 };
  const fail = { next: false };
  const pool = new TcpPool<FakeSocket>({
    open: () => {
      if (fail.next) return Promise.reject(new Error('no route'));
      opened.push(new FakeSocket(opened.length));
      return Promise.resolve(opened.at(-1)!);
    },
    limits,
    metrics: { size: (n) => (seen.size = n), reused: () => seen.reused++, acquired: () => seen.acquired++ },
  });
  pools.push(pool);
  return { pool, opened, seen, fail };
}

afterEach(() => {
  for (const pool of pools.splice(0)) pool.close();
});

describe('TcpPool', () => {
  it('lends one connection to one user at a time, and the same again after it came back', async () => {
    const { pool, opened, seen } = make();
    const [a, b] = await Promise.all([pool.acquire('n1:1'), pool.acquire('n1:1')]);
    expect(a).not.toBe(b);
    pool.release(a);
    expect(await pool.acquire('n1:1')).toBe(a);
    expect(await pool.acquire('n2:1')).not.toBe(a);
    expect(opened).toHaveLength(3);
    expect(seen).toEqual({ size: 3, reused: 1, acquired: 4 });
  });

  it('does not lend what was closed meanwhile, idle or lent', async () => {
    const { pool, seen } = make();
    const a = await pool.acquire('n1:1');
    pool.release(a);
    a.usable = false;
    const b = await pool.acquire('n1:1');
    expect(b).not.toBe(a);
    b.usable = false;
    pool.release(b);
    expect(pool.size).toBe(0);
    expect(seen.reused).toBe(0);
  });

  it('keeps to its maximum: users wait in turn, and go on when one comes back or an opening fails', async () => {
    const { pool, opened, fail } = make({ perAddressMax: 1, waitingMax: 2 });
    const a = await pool.acquire('n1:1');
    const order: string[] = [];
    const second = pool.acquire('n1:1').then((one) => (order.push('second'), one));
    const third = pool.acquire('n1:1').then((one) => (order.push('third'), one));
    await expect(pool.acquire('n1:1')).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    pool.release(a);
    expect(await second).toBe(a);
    fail.next = true;
    a.usable = false;
    pool.release(a);
    await expect(third).rejects.toThrow('no route');
    fail.next = false;
    expect((await pool.acquire('n1:1')).number).toBe(1);
    expect([order, opened.length]).toEqual([['second'], 2]);
  });

  it('lets a user stop waiting', async () => {
    const { pool } = make({ perAddressMax: 1 });
    await pool.acquire('n1:1');
    const abort = new AbortController();
    const waiting = pool.acquire('n1:1', abort.signal);
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });

  it('closes what was idle for too long', async () => {
    const { pool, opened } = make({ idleMsMax: 1 });
    const [a, b] = await Promise.all([pool.acquire('n1:1'), pool.acquire('n1:1')]);
    pool.release(a);
    while (a.usable) await new Promise((resolve) => setImmediate(resolve));
    expect([a.ended, pool.size]).toEqual(['idle', 1]);
    pool.release(b);
    expect(opened).toHaveLength(2);
  });

  it('ends with what is idle at once, with what is lent when it comes back, and with those who wait', async () => {
    const { pool } = make({ perAddressMax: 2 });
    const [idle, lent] = await Promise.all([pool.acquire('n1:1'), pool.acquire('n1:1')]);
    const waiting = pool.acquire('n1:1');
    pool.close();
    await expect(waiting).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    pool.release(idle);
    pool.release(lent);
    expect([idle.usable, lent.usable, pool.size]).toEqual([false, false, 0]);
    await expect(pool.acquire('n1:1')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});
