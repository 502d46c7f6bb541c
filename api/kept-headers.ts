/** Which headers become part of a message, over REST and the binary protocol alike. */

export const KEPT_HEADERS_MAX = 32;
export const KEPT_HEADER_BYTES_MAX = 4 * 1024;

/** Credentials must not be stored for good, nor what a proxy or a server adds on the way. */
const NEVER_KEPT = /token|secret|password|api-?key|auth|cookie|^x-request-id$|^x-forwarded-|^x-real-ip$/;

/** `name` is in lower case. */
export function isKeptHeader(name: string): boolean {
  return (name.startsWith('x-') || name.startsWith('ce-')) && !NEVER_KEPT.test(name);
}
