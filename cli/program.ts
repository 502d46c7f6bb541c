import { Command, CommanderError } from 'commander';
import { addApply } from './commands/apply.ts';
import { addAudit } from './commands/audit.ts';
import { addBackup } from './commands/backup.ts';
import { addData } from './commands/data.ts';
import { addDefinitions } from './commands/definitions.ts';
import { addDown } from './commands/down.ts';
import { addInstances } from './commands/instances.ts';
import { addKeys } from './commands/keys.ts';
import { addLogs } from './commands/logs.ts';
import { addMembers } from './commands/members.ts';
import { addMessages } from './commands/messages.ts';
import { addNet } from './commands/net.ts';
import { addPki } from './commands/pki.ts';
import { addRules } from './commands/rules.ts';
import { addSend } from './commands/send.ts';
import { addStatus } from './commands/status.ts';
import { addTop } from './commands/top.ts';
import { addUp } from './commands/up.ts';
import { addValidate } from './commands/validate.ts';
import { addWorkers } from './commands/workers.ts';
import { addVersion, packageVersion } from './commands/version.ts';
import { EXIT, describeError, exitCodeOfError } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';
import { Session, addGlobalOptions } from './session.ts';
import type { AddCommand, GlobalOptions, OpenSession } from './session.ts';
import type { Io } from './terminal.ts';

const COMMANDS: readonly AddCommand[] = [
  addUp,
  addDown,
  addStatus,
  addTop,
  addApply,
  addValidate,
  addSend,
  addRules,
  addDefinitions,
  addInstances,
  addMessages,
  addMembers,
  addWorkers,
  addKeys,
  addAudit,
  addBackup,
  addData,
  addLogs,
  addPki,
  addNet,
  addVersion,
];

const EXAMPLES = `
Start here:
  $ distric up -f examples/github      three coordinators and two workers on this machine
  $ distric send '{"event_type":"hello"}'
  $ distric status
  $ distric down

Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 refused by validation, 5 cluster unavailable`;

function buildProgram(io: Io): Command {
  const program = new Command('distric')
    .description('Events in, rules matched, workflows run.')
    .version(packageVersion(), '-V, --version')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
    })
    .showHelpAfterError('(add --help for usage)')
    .addHelpText('after', EXAMPLES);
  addGlobalOptions(program);
  const open: OpenSession = (command) => new Session(io, command.optsWithGlobals<GlobalOptions>());
  for (const add of COMMANDS) add(program, open);
  return program;
}

/** Runs one command line (without the program's own name) and returns its exit code; never throws. */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  try {
    await buildProgram(io).parseAsync(argv, { from: 'user' });
    return EXIT.OK;
  } catch (error) {
    // Commander has printed its own message already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE;
    io.stderr.write(`error: ${describeError(error)}\n`);
    return exitCodeOfError(error);
  }
}
