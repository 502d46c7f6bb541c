/** REST of a coordinator: reached by the address of its pod, known by its certificate, asked as the cluster's operator. */
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { identityOf } from '../../api/identity.ts';
import { API_BASE, type Problem } from '../../api/rest.ts';
import { formatAddress } from '../../base/address.ts';

const ANSWER_MS_MAX = 10_000;

export interface NodeAccess {
  clusterName: string;
  /** Over TLS, with the operator's certificate; PEM. */
  tls?: { ca: string; certificate: string; key: string };
  /** Without TLS: the admin key. */
  apiKey?: string;
}

/** The coordinator's refusal. 0: no answer. */
export class NodeError extends Error {
  override readonly name = 'NodeError';
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** The same request will be refused for ever: what it asks is wrong. */
  get isPermanent(): boolean {
    return [400, 409, 413, 415, 422].includes(this.status) && !['UNKNOWN_WORKFLOW', 'IN_USE'].includes(this.code);
  }
}

export class NodeClient {
  readonly #access: NodeAccess;
  readonly #agent: HttpAgent | HttpsAgent;

  constructor(access: NodeAccess) {
    this.#access = access;
    const { tls, clusterName } = access;
    this.#agent =
      tls === undefined
        ? new HttpAgent({ keepAlive: true })
        : new HttpsAgent({
            keepAlive: true,
            minVersion: 'TLSv1.3',
            ca: tls.ca,
            cert: tls.certificate,
            key: tls.key,
            // Addresses of pods are in no certificate; that it is a coordinator of this cluster is.
            checkServerIdentity: (_host, certificate) => {
              const identity = identityOf((certificate as { subjectaltname?: string }).subjectaltname ?? '');
              if (identity?.role === 'coordinator' && identity.clusterName === clusterName) return undefined;
              return new Error(`the other end is no coordinator of ${clusterName}`);
            },
          });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The decoded answer; undefined of an empty one. Rejects with NodeError. */
  ask<T>(host: string, port: number, method: string, path: string, body?: unknown): Promise<T> {
    const { tls, apiKey } = this.#access;
    const url = `${tls === undefined ? 'http' : 'https'}://${formatAddress(host, port)}${API_BASE}${path}`;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
    };
    return new Promise((resolve, reject) => {
      const options = { method, headers, agent: this.#agent, signal: AbortSignal.timeout(ANSWER_MS_MAX) };
      const request = (tls === undefined ? httpRequest : httpsRequest)(url, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', (error) => reject(new NodeError(0, 'UNREACHABLE', error.message)));
        response.on('end', () => {
          const answer = Buffer.concat(chunks).toString('utf8');
          const status = response.statusCode ?? 0;
          if (status >= 200 && status < 300) resolve((answer === '' ? undefined : JSON.parse(answer)) as T);
          else reject(problemOf(status, answer));
        });
      });
      request.on('error', (error) => reject(new NodeError(0, 'UNREACHABLE', error.message)));
      request.end(text);
    });
  }
}

function problemOf(status: number, text: string): NodeError {
  try {
    const { code, detail } = JSON.parse(text) as Partial<Problem>;
    return new NodeError(status, code ?? '', detail ?? text);
  } catch {
    return new NodeError(status, '', text.slice(0, 500));
  }
}
