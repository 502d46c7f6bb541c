/** The gateway port with answers given by the test, for what HTTP alone decides; the real one is tested elsewhere. */
import type { Actor } from '../../../api/access.ts';
import type {
  Command,
  CommandOutcome,
  Consistency,
  Gateway,
  IncomingItem,
  ItemOutcome,
  Query,
  QueryOutcome,
} from '../../requests.ts';

export interface Submission {
  items: readonly IncomingItem[];
  scope: string;
  done: (outcomes: readonly ItemOutcome[]) => void;
}

export class RecordingGateway implements Gateway {
  readonly submissions: Submission[] = [];
  readonly commands: Command[] = [];
  /** Of each command. */
  readonly actors: Actor[] = [];
  readonly queries: { query: Query; consistency: Consistency }[] = [];
  /** False keeps submissions unanswered until the test calls their `done`. */
  answersSubmissions = true;
  outcomeOf: (item: IncomingItem, index: number) => ItemOutcome = (_item, index) => ({
    accepted: { messageId: `m${index}`, workflowsTriggered: ['w'], instances: [`i${index}`], duplicate: false },
  });
  commandOutcome: CommandOutcome = { result: { stored: true } };
  queryOutcome: QueryOutcome = { result: { found: true }, appliedIndex: 42 };
  /** Called when a submission arrives. */
  onSubmission: () => void = () => undefined;

  submit(items: readonly IncomingItem[], scope: string, done: Submission['done']): void {
    this.submissions.push({ items, scope, done });
    this.onSubmission();
    if (this.answersSubmissions) done(items.map((item, index) => this.outcomeOf(item, index)));
  }

  command(command: Command, actor: Actor, done: (outcome: CommandOutcome) => void): void {
    this.actors.push(actor);
    this.commands.push(command);
    done(this.commandOutcome);
  }

  query(query: Query, consistency: Consistency, done: (outcome: QueryOutcome) => void): void {
    this.queries.push({ query, consistency });
    done(this.queryOutcome);
  }
}
