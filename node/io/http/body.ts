/** Receives request bodies as raw bytes, within a limit per request and one for all requests together. */
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify';
import { DistricError } from '../../../base/errors.ts';
import type { ApiLimits } from './limits.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** What this request may send, in bytes; 0 on routes that read no body. */
    bodyBytesMax: number;
    /** What it has sent and the server still holds. */
    bodyBytesHeld: number;
  }
}

export interface MediaType {
  /** Lower case, without parameters: `application/json`; empty when the header is missing. */
  name: string;
  charset: string;
}

export function mediaTypeOf(header: string | undefined): MediaType {
  const [name = '', ...parameters] = (header ?? '').toLowerCase().split(';');
  let charset = 'utf-8';
  for (const parameter of parameters) {
    const [key = '', value = ''] = parameter.split('=');
    if (key.trim() === 'charset') charset = value.trim().replaceAll('"', '');
  }
  return { name: name.trim(), charset };
}

function hasBody(request: FastifyRequest): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/**
 * A route hook that answers 415 before a byte of the body is read. A type is required (with a body), which also
 * keeps a web page on another origin from posting here without a preflight.
 */
export function acceptBody(accepted: readonly string[], bytesMax: number) {
  const list = accepted.join(', ');
  return (request: FastifyRequest, _reply: FastifyReply, next: HookHandlerDoneFunction): void => {
    request.bodyBytesMax = bytesMax;
    const header = request.headers['content-type'];
    if (header === undefined && !hasBody(request)) {
      next();
      return;
    }
    // The one header of nearly every request, recognised without taking it apart.
    if (header !== 'application/json') {
      const { name, charset } = mediaTypeOf(header);
      let reason: string | undefined;
      if (name === '') reason = `Content-Type is missing; it must be one of ${list}`;
      else if (name.startsWith('application/cloudevents')) {
        reason = `Content-Type ${name} is not supported yet; send the event as application/json`;
      } else if (!accepted.includes(name)) reason = `Content-Type must be one of ${list}, not ${name.slice(0, 100)}`;
      else if (charset !== 'utf-8' && charset !== 'utf8') reason = 'charset must be utf-8';
      if (reason !== undefined) {
        next(new DistricError('UNSUPPORTED_MEDIA_TYPE', reason, [{ field: 'Content-Type', reason }]));
        return;
      }
    }
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
      const reason = 'compressed bodies are not supported: send the body as it is';
      next(new DistricError('UNSUPPORTED_MEDIA_TYPE', reason, [{ field: 'Content-Encoding', reason }]));
      return;
    }
    next();
  };
}

type BodyDone = (error: Error | null, body?: Buffer) => void;

function tooLarge(bytesMax: number): DistricError {
  const reason = `the request body is over ${bytesMax} bytes`;
  return new DistricError('PAYLOAD_TOO_LARGE', reason, [{ field: 'body', reason }]);
}

/** The bytes of a request body; empty when it has none. */
export function bodyOf(request: FastifyRequest): Buffer {
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
}

/** Counts what is in progress on this server and reads bodies within that. */
export class BodyReader {
  readonly #limits: ApiLimits;
  #heldBytes = 0;
  #heldRequests = 0;

  constructor(limits: ApiLimits) {
    this.#limits = limits;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get heldRequests(): number {
    return this.#heldRequests;
  }

  /** Counts the request until its answer is out or its connection gone; returns the refusal when there are too many. */
  admit(request: FastifyRequest, reply: FastifyReply): DistricError | undefined {
    this.#heldRequests++;
    reply.raw.once('close', () => {
      this.#heldRequests--;
      this.#release(request);
    });
    if (this.#heldRequests <= this.#limits.heldRequestsMax) return undefined;
    return new DistricError('QUEUE_FULL', 'too many requests are in progress on this node');
  }

  /**
   * fastify's content type parser. `done` gets the bytes, or PAYLOAD_TOO_LARGE, QUEUE_FULL, INVALID_REQUEST.
   * A body over the limit is read on and thrown away, up to `discardBytesMax`, before that is answered: closing a
   * connection with unread bytes resets it, and the client might never see why.
   */
  read(request: FastifyRequest, stream: IncomingMessage, done: BodyDone): void {
    const discardBytesMax = 2 * this.#limits.requestBytesMax;
    const bytesMax = request.bodyBytesMax;
    if (Number(request.headers['content-length'] ?? 0) > discardBytesMax) {
      done(tooLarge(bytesMax));
      return;
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    let failure: DistricError | undefined;
    let finished = false;
    const finish = (error: DistricError | null, body?: Buffer): void => {
      if (finished) return;
      finished = true;
      if (error !== null) this.#release(request);
      done(error, body);
    };
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (finished) return;
      if (failure === undefined && bytes > bytesMax) failure = tooLarge(bytesMax);
      if (failure === undefined && this.#heldBytes + chunk.length > this.#limits.heldBytesMax) {
        failure = new DistricError('QUEUE_FULL', 'too many bytes of requests are in progress on this node');
      }
      if (failure === undefined) {
        this.#heldBytes += chunk.length;
        request.bodyBytesHeld += chunk.length;
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      this.#release(request);
      if (bytes > discardBytesMax) finish(failure);
    });
    stream.on('end', () => {
      if (failure !== undefined) finish(failure);
      else finish(null, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, bytes));
    });
    stream.on('error', () => {
      finish(new DistricError('INVALID_REQUEST', 'the connection ended before the request body did'));
    });
  }

  #release(request: FastifyRequest): void {
    this.#heldBytes -= request.bodyBytesHeld;
    request.bodyBytesHeld = 0;
  }
}
