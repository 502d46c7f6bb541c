import { describe, expect, it } from '@jest/globals';
import { HealthRegistry } from './health.ts';

describe('HealthRegistry', () => {
  it('is DOWN while a component is still starting', () => {
    const health = new HealthRegistry();
    health.register('raft');
    health.register('http', 'UP');
    expect(health.report()).toEqual({
      status: 'DOWN',
      checks: { raft: { status: 'DOWN', message: 'starting' }, http: { status: 'UP' } },
    });
    expect(health.ready).toBe(false);
    health.set('raft', 'UP');
    expect(health.report()).toEqual({ status: 'UP', checks: { raft: { status: 'UP' }, http: { status: 'UP' } } });
  });

  it('stays ready when only DEGRADED', () => {
    const health = new HealthRegistry();
    health.register('raft', 'UP');
    health.set('workers_available', 'DEGRADED', 'no worker is connected');
    expect(health.report().status).toBe('DEGRADED');
    expect(health.ready).toBe(true);
  });

  it('asks probes at each report; one that throws is DOWN', () => {
    const health = new HealthRegistry();
    let leader: string | null = 'c1';
    health.probe('raft', () => {
      if (leader === null) throw new Error('no leader');
      return { status: 'UP', message: `leader ${leader}` };
    });
    expect(health.report().checks['raft']).toEqual({ status: 'UP', message: 'leader c1' });
    leader = null;
    expect(health.report()).toEqual({ status: 'DOWN', checks: { raft: { status: 'DOWN', message: 'no leader' } } });
  });

  it('is UP when nothing is registered', () => {
    expect(new HealthRegistry().report()).toEqual({ status: 'UP', checks: {} });
  });
});
