/** Settings of the operator: few, all from the environment. */
import { DistricError } from '../../base/errors.ts';

export interface OperatorSettings {
  /** The only namespace that is watched; all when undefined. */
  watchNamespace: string | undefined;
  /** The node image where a resource names none. */
  nodeImage: string;
  identity: string;
  leaderElection: boolean;
  metricsPort: number;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  concurrency: number;
  /** For tests: end like a crash at this point, such as `after-found`. */
  crashAt: string | undefined;
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
const VARIABLES = [
  'WATCH_NAMESPACE',
  'NODE_IMAGE',
  'LEADER_ELECTION',
  'METRICS_PORT',
  'LOG_LEVEL',
  'CONCURRENCY',
  'CRASH_AT',
];
const PREFIX = 'DISTRIC_OPERATOR_';

function refuse(name: string, reason: string): never {
  throw new DistricError('INVALID_DOCUMENT', `${PREFIX}${name} ${reason}`, [{ field: `${PREFIX}${name}`, reason }]);
}

/** Throws INVALID_DOCUMENT. */
export function operatorSettings(
  env: Readonly<Record<string, string | undefined>>,
  hostName: string,
): OperatorSettings {
  for (const variable of Object.keys(env)) {
    const name = variable.slice(PREFIX.length);
    if (variable.startsWith(PREFIX) && !VARIABLES.includes(name))
      refuse(name, `is unknown; known: ${VARIABLES.join(', ')}`);
  }
  const text = (name: string): string | undefined => env[PREFIX + name] || undefined;
  const number = (name: string, byDefault: number, min: number, max: number): number => {
    const value = Number(text(name) ?? byDefault);
    return Number.isInteger(value) && value >= min && value <= max
      ? value
      : refuse(name, `must be an integer from ${min} to ${max}`);
  };
  const level = text('LOG_LEVEL') ?? 'info';
  const election = text('LEADER_ELECTION') ?? 'true';
  if (election !== 'true' && election !== 'false') refuse('LEADER_ELECTION', 'must be true or false');
  return {
    watchNamespace: text('WATCH_NAMESPACE'),
    nodeImage: text('NODE_IMAGE') ?? 'distric:latest',
    identity: `${hostName}_${String(process.pid)}`,
    leaderElection: election === 'true',
    metricsPort: number('METRICS_PORT', 9090, 0, 65_535),
    logLevel: LEVELS.find((known) => known === level) ?? refuse('LOG_LEVEL', `must be one of ${LEVELS.join(', ')}`),
    concurrency: number('CONCURRENCY', 8, 1, 64),
    crashAt: text('CRASH_AT'),
  };
}
