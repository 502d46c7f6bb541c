import type { HelloBody } from './hello.ts';

/** Protocol versions this build speaks. HELLO itself stays as it is in version 1, so that any two ends can say so. */
export const VERSIONS = { min: 1, max: 1 } as const;

/**
 * Offered by both ends or not used. Names are never given another meaning. `renewal` is said by who dials only: this
 * link is to take the place of the one that is there, which will hand over to it.
 */
export const FEATURES = { ping: 'ping', zstd: 'zstd', deflate: 'deflate-raw', renewal: 'renewal' } as const;

export type CompressionMode = 'off' | 'on';
export type Compression = 'zstd' | 'deflate-raw';

/** What the two ends of a connection have in common. */
export interface Agreement {
  readonly version: number;
  /** The other end answers PING. */
  readonly ping: boolean;
  /** For payloads on the bulk lane, in both directions. */
  readonly compression: Compression | undefined;
}

/** Before HELLO: nothing but version 1. */
export const NO_AGREEMENT: Agreement = { version: 1, ping: false, compression: undefined };

export function offeredFeatures(compression: CompressionMode): readonly string[] {
  return compression === 'on' ? [FEATURES.ping, FEATURES.zstd, FEATURES.deflate] : [FEATURES.ping];
}

/** The highest version that both ends speak, if there is one. */
export function agreedVersion(hello: HelloBody): number | undefined {
  const { versionMin = 1, versionMax = 1 } = hello;
  const version = Math.min(VERSIONS.max, versionMax);
  return version >= Math.max(VERSIONS.min, versionMin) ? version : undefined;
}

/** Both ends come to the same answer: it is symmetric, and zstd goes before deflate. */
export function agreementOf(offered: readonly string[], hello: HelloBody): Agreement {
  const has = (feature: string): boolean => offered.includes(feature) && hello.features.includes(feature);
  const compression = has(FEATURES.zstd) ? 'zstd' : has(FEATURES.deflate) ? 'deflate-raw' : undefined;
  return { version: agreedVersion(hello) ?? VERSIONS.min, ping: has(FEATURES.ping), compression };
}
