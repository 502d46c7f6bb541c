export interface RpcLoadPlan {
  kind: 'one' | 'bare' | 'lanes' | 'pooled' | 'fresh' | 'many';
  port: number;
  /** Calls under way at once, or connections. */
  callers: number;
  warmupMs: number;
  durationMs: number;
}

export interface RpcLoadResult {
  perSecond: number;
  /** Per call, of a sample of them. */
  p50Ms: number;
  p99Ms: number;
  errors: number;
}
