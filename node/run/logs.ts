import type { Logger, Logging } from '../io/telemetry/logging.ts';
import type { LogFields, LoopLog } from '../ports.ts';

/** The node's log for a loop, whose lines name their component themselves. */
export function loopLog(logging: Logging): LoopLog {
  const loggers = new Map<string, Logger>();
  const of = (component: string): Logger => {
    const known = loggers.get(component) ?? logging.component(component);
    loggers.set(component, known);
    return known;
  };
  const write =
    (level: keyof LoopLog) =>
    ({ component, ...fields }: LogFields, text: string): void =>
      of(String(component ?? 'node'))[level](fields, text);
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}
