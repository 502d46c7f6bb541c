import type { Entry } from '../core/raft/entry.ts';
import type { SequencedWrite } from '../core/raft/outbox.ts';
import type { StateEvent } from '../core/state/events.ts';
import type { Message } from '../core/tlv/messages.ts';
import type { SimCoordinator } from './sim-coordinator.ts';

/** What the checks get to see of a coordinator while it runs. */
export interface Observer {
  onBoot?(node: SimCoordinator): void;
  onSend?(node: SimCoordinator, to: string, message: Message): void;
  onReceive?(node: SimCoordinator, from: string, message: Message): void;
  onPersist?(node: SimCoordinator, write: SequencedWrite): void;
  onApply?(node: SimCoordinator, entry: Entry, events: readonly StateEvent[]): void;
  /** A snapshot has replaced the state. */
  onInstall?(node: SimCoordinator): void;
  onTurn?(node: SimCoordinator): void;
}
