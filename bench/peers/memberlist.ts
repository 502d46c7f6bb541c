import { join } from 'node:path';
import { runProgram } from '../children.ts';
import type { SwimPlan, SwimResult } from '../swim-plan.ts';
import { buildGo } from './go-programs.ts';

const SOURCE_DIR = join(import.meta.dirname, 'memberlist');
const LIMIT_MS = 5 * 60_000;

/** hashicorp/memberlist with its LAN defaults, all members in one process, each with sockets of its own. */
export async function measureMemberlist(plan: SwimPlan, progress: (line: string) => void): Promise<SwimResult> {
  const { members } = await buildGo('memberlist', SOURCE_DIR, { members: 'members' }, progress);
  const args = [
    `-members=${String(plan.members)}`,
    `-kills=${String(plan.kills)}`,
    `-every=${String(plan.everyMs)}ms`,
    `-seed=${String(plan.seed)}`,
  ];
  return JSON.parse(await runProgram(members, args, { timeoutMs: LIMIT_MS })) as SwimResult;
}
