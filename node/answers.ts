/** Tells whoever proposed an entry what became of it. */
import type { Host } from '../base/host.ts';
import { ProposalResult } from './core/state/outcomes.ts';
import { encode } from './core/tlv/struct.ts';
import type { CoordinatorPorts } from './ports.ts';
import { type Origin, refusal } from './proposals.ts';

export class Answers {
  readonly #host: Host;
  readonly #ports: Pick<CoordinatorPorts, 'reply' | 'send'>;

  constructor(host: Host, ports: Pick<CoordinatorPorts, 'reply' | 'send'>) {
    this.#host = host;
    this.#ports = ports;
  }

  give(origin: Origin, result: ProposalResult): void {
    switch (origin.kind) {
      case 'ingress':
        this.#ports.reply({ kind: 'proposed', requestId: origin.requestId, result });
        break;
      case 'peer': {
        const body = { requestId: origin.requestId, result: encode(this.#host, ProposalResult, result) };
        this.#ports.send(origin.peer, { kind: 'FORWARD_RESULT', body });
        break;
      }
      case 'loop':
        origin.applied();
        break;
    }
  }

  /** It may be kept, and may not: leadership was lost meanwhile. */
  unknown(origin: Origin): void {
    if (origin.kind === 'ingress') {
      this.#ports.reply({ kind: 'proposed', requestId: origin.requestId, result: undefined });
    } else if (origin.kind === 'peer') {
      this.give(origin, refusal('OUTCOME_UNKNOWN', 'leadership was lost before it committed'));
    }
  }
}
