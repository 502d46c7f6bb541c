#!/usr/bin/env node
/** The operator program: reads its settings, takes the lead, ends cleanly on SIGTERM or SIGINT. */
import { hostname } from 'node:os';
import { Operator } from './io/operator.ts';
import { operatorSettings } from './io/settings.ts';

try {
  const operator = new Operator(operatorSettings(process.env, hostname()), process.env, (code) => process.exit(code));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      void operator.stop().then(() => process.exit(0));
    });
  }
  await operator.start();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
