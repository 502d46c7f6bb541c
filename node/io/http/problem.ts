/**
 * Errors as RFC 9457 `application/problem+json`. Everything that goes wrong in or below the HTTP layer ends as one
 * code of the catalogue; nothing of an unexpected error but the fact reaches the client.
 */
import { STATUS_CODES } from 'node:http';
import { DistricError, type ErrorCode } from '../../../base/errors.ts';
import type { Problem } from '../../../api/rest.ts';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** What fastify and the HTTP parser report, by their own codes. */
const FOREIGN: Readonly<Record<string, { code: ErrorCode; detail: string }>> = {
  FST_ERR_BAD_URL: { code: 'INVALID_REQUEST', detail: 'the path is not valid percent-encoding' },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'INVALID_REQUEST', detail: 'a part of the path is too long' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: 'UNSUPPORTED_MEDIA_TYPE', detail: 'the Content-Type header is malformed' },
  FST_ERR_NOT_FOUND: { code: 'NOT_FOUND', detail: 'no such path' },
  HPE_HEADER_OVERFLOW: { code: 'HEADERS_TOO_LARGE', detail: 'the request headers are over 16 KiB' },
  ERR_HTTP_REQUEST_TIMEOUT: { code: 'REQUEST_TIMEOUT', detail: 'the request did not arrive in time' },
};

function foreignCode(error: unknown): string {
  const hasCode = typeof error === 'object' && error !== null && 'code' in error;
  return hasCode && typeof error.code === 'string' ? error.code : '';
}

/** Any thrown value as an error of the catalogue; INTERNAL when nobody outside can be blamed. */
export function toDistricError(error: unknown): DistricError {
  if (error instanceof DistricError) return error;
  const code = foreignCode(error);
  const known = FOREIGN[code];
  if (known !== undefined) return new DistricError(known.code, known.detail);
  if (code.startsWith('HPE_')) return new DistricError('INVALID_REQUEST', 'the request is not valid HTTP/1.1');
  return new DistricError('INTERNAL', 'an unexpected error; the log of this node has it under the x-request-id');
}

export function problemOf(error: DistricError): Problem {
  return {
    type: `https://distric.io/errors/${error.code}`,
    title: STATUS_CODES[error.status] ?? 'Error',
    status: error.status,
    code: error.code,
    detail: error.message,
    errors: error.fields.map(({ field, reason }) => ({ field, reason })),
  };
}

/** A whole HTTP answer as bytes, for connections whose request never became one. */
export function rawProblem(error: DistricError): string {
  const body = JSON.stringify(problemOf(error));
  return [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? 'Error'}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'x-content-type-options: nosniff',
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
