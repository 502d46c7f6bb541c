/**
 * The one catalogue of errors that the outside can cause or see.
 * `status` is the HTTP answer; `retryable` says whether the same request may succeed later unchanged.
 */
export const ERRORS = {
  INVALID_JSON: { status: 400, retryable: false },
  INVALID_MESSAGE: { status: 400, retryable: false },
  INVALID_DOCUMENT: { status: 400, retryable: false },
  INVALID_REQUEST: { status: 400, retryable: false },
  UNAUTHENTICATED: { status: 401, retryable: false },
  FORBIDDEN: { status: 403, retryable: false },
  NOT_FOUND: { status: 404, retryable: false },
  METHOD_NOT_ALLOWED: { status: 405, retryable: false },
  REQUEST_TIMEOUT: { status: 408, retryable: true },
  ALREADY_EXISTS: { status: 409, retryable: false },
  IDEMPOTENCY_CONFLICT: { status: 409, retryable: false },
  IN_USE: { status: 409, retryable: false },
  MANAGED: { status: 409, retryable: false },
  STALE_ATTEMPT: { status: 409, retryable: false },
  PAYLOAD_TOO_LARGE: { status: 413, retryable: false },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retryable: false },
  UNKNOWN_WORKFLOW: { status: 422, retryable: false },
  LIMIT_EXCEEDED: { status: 422, retryable: false },
  RATE_LIMITED: { status: 429, retryable: true },
  HEADERS_TOO_LARGE: { status: 431, retryable: false },
  INTERNAL: { status: 500, retryable: false },
  NO_LEADER: { status: 503, retryable: true },
  BOOTSTRAPPING: { status: 503, retryable: true },
  QUEUE_FULL: { status: 503, retryable: true },
  STORAGE_FULL: { status: 503, retryable: true },
  DEDUP_FULL: { status: 503, retryable: true },
  STATE_DIVERGED: { status: 503, retryable: true },
  CATALOG_STALE: { status: 503, retryable: true },
  SHUTTING_DOWN: { status: 503, retryable: true },
  OUTCOME_UNKNOWN: { status: 504, retryable: true },
} as const satisfies Record<string, { status: number; retryable: boolean }>;

export type ErrorCode = keyof typeof ERRORS;

/** One place in a request or document, and what is wrong there. `field` is a path such as `tasks[2].depends_on[0]`. */
export interface FieldError {
  field: string;
  reason: string;
}

const stackTraces = Error as { stackTraceLimit?: number };

/**
 * The outside's fault (bad input, no leader, …): reported, counted, survived. It has no stack: where it was noticed says
 * nothing about the fault, and to walk the stack costs more than all else when requests are refused by the thousand.
 */
export class DistricError extends Error {
  override readonly name = 'DistricError';
  readonly code: ErrorCode;
  readonly fields: readonly FieldError[];
  /** Of a retryable one that is over only then, in seconds. */
  readonly retryAfterS: number | undefined;

  constructor(code: ErrorCode, message: string, fields: readonly FieldError[] = [], retryAfterS?: number) {
    const { stackTraceLimit } = stackTraces;
    stackTraces.stackTraceLimit = 0;
    super(message);
    if (stackTraceLimit !== undefined) stackTraces.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.fields = fields;
    this.retryAfterS = retryAfterS;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
}
