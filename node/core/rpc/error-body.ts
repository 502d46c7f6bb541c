/** Errors of the catalogue on the wire. */
import { DistricError, ERRORS, type ErrorCode } from '../../../base/errors.ts';
import type { Body } from '../tlv/messages.ts';

/** An error over it would not fit beside thousands of others in one frame. */
const FIELDS_MAX = 16;
const TEXT_CHARS_MAX = 2_000;

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

export function errorBody(error: DistricError): Body<'RPC_ERROR'> {
  const fields = error.fields.slice(0, FIELDS_MAX).map(({ field, reason }) => ({
    field: field.slice(0, TEXT_CHARS_MAX),
    reason: reason.slice(0, TEXT_CHARS_MAX),
  }));
  return { code: error.code, message: error.message.slice(0, TEXT_CHARS_MAX), fields };
}

/** A code that this version does not know is one that it can't judge: INTERNAL, not retried. */
export function errorOfBody({ code, message, fields }: Body<'RPC_ERROR'>): DistricError {
  if (isErrorCode(code)) return new DistricError(code, message, fields);
  return new DistricError('INTERNAL', `${code}: ${message}`, fields);
}
