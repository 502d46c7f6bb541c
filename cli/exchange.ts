/** One HTTP request and its answer; over HTTPS with authorities and a certificate of the caller's choice. */
import { Agent, request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';

/** All PEM. */
export interface ClientTls {
  /** The authorities that servers are checked by, instead of those of the system. */
  readonly ca?: string | undefined;
  /** Shown to servers that ask who is there. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

export interface ExchangeRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly timeoutMs: number;
}

export interface ExchangeAnswer {
  readonly status: number;
  readonly text: string;
}

export interface OpenAnswer {
  readonly status: number;
  readonly body: AsyncIterable<Uint8Array>;
}

/** Codes of Node and OpenSSL that say why a server was not trusted: nothing of the request was sent. */
export const UNTRUSTED = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** `fetch` takes no authorities of its own, so HTTPS goes by `node:https`. */
export class Exchange {
  readonly #agent: Agent;

  constructor({ ca, certificate, key }: ClientTls = {}) {
    this.#agent = new Agent({
      keepAlive: true,
      minVersion: 'TLSv1.3',
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(key === undefined ? {} : { key }),
    });
  }

  /** Rejects with what `fetch` or `node:https` reports, when there is no whole answer. */
  async send(url: string, request: ExchangeRequest): Promise<ExchangeAnswer> {
    const signal = AbortSignal.timeout(request.timeoutMs);
    const { method, headers, body } = request;
    if (url.startsWith('https:')) return this.#sendSecurely(url, request, signal);
    const response = await fetch(url, { method, headers, body: body ?? null, signal });
    return { status: response.status, text: await response.text() };
  }

  /** As `send`, with the body as it comes; `timeoutMs` is until its headers. */
  async open(url: string, request: Omit<ExchangeRequest, 'body'>): Promise<OpenAnswer> {
    const { method, headers, timeoutMs } = request;
    const control = new AbortController();
    const timer = setTimeout(() => control.abort(new DOMException('no answer in time', 'TimeoutError')), timeoutMs);
    try {
      if (url.startsWith('https:')) return await this.#openSecurely(url, request, control.signal);
      const { status, body } = await fetch(url, { method, headers, signal: control.signal });
      return { status, body: (body as AsyncIterable<Uint8Array> | null) ?? Readable.from([]) };
    } finally {
      clearTimeout(timer);
    }
  }

  #openSecurely(url: string, request: Omit<ExchangeRequest, 'body'>, signal: AbortSignal): Promise<OpenAnswer> {
    const { method, headers } = request;
    return new Promise((resolve, reject) => {
      const call = httpsRequest(url, { method, headers, agent: this.#agent, signal }, (response) => {
        resolve({ status: response.statusCode ?? 0, body: response });
      });
      call.on('error', reject);
      call.end();
    });
  }

  #sendSecurely(url: string, { method, headers, body }: ExchangeRequest, signal: AbortSignal): Promise<ExchangeAnswer> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest(url, { method, headers, agent: this.#agent, signal }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') });
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }
}
