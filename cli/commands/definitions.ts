import type { Command } from 'commander';
import { formatTable, toYaml } from '../output.ts';
import type { DefinitionList } from '../resources.ts';
import type { OpenSession } from '../session.ts';
import { deleteAll } from './rules.ts';

export function addDefinitions(parent: Command, open: OpenSession): void {
  const definitions = parent.command('definitions').description('workflow definitions');
  definitions
    .command('list')
    .description('all workflow definitions')
    .addHelpText('after', '\nExample:\n  $ distric definitions list')
    .action(async (_options: unknown, command: Command) => {
      const session = open(command);
      const list = await (await session.client()).get<DefinitionList>('/workflow-definitions');
      session.print(list, () => formatDefinitions(list));
    });
  definitions
    .command('get <id>')
    .description('one workflow definition as the cluster has it')
    .addHelpText('after', '\nExample:\n  $ distric definitions get fraud-check')
    .action(async (id: string, _options: unknown, command: Command) => {
      const session = open(command);
      const definition = await (await session.client()).get(`/workflow-definitions/${encodeURIComponent(id)}`);
      session.print(definition, () => toYaml(definition));
    });
  definitions
    .command('delete <id...>')
    .description('delete workflow definitions that no rule uses; running instances go on')
    .addHelpText('after', '\nExample:\n  $ distric definitions delete fraud-check')
    .action(async (ids: string[], _options: unknown, command: Command) => {
      await deleteAll(open(command), 'workflow', '/workflow-definitions', ids);
    });
}

function formatDefinitions({ workflows }: DefinitionList): string {
  return formatTable(
    ['ID', 'Version', 'Revision', 'Tasks', 'Waiting for types'],
    workflows.map((workflow) => {
      const { id, version, revision, tasks, waiting_for_types: waiting } = workflow;
      return [
        text(id),
        text(version),
        text(revision),
        Array.isArray(tasks) ? String(tasks.length) : '-',
        Array.isArray(waiting) && waiting.length > 0 ? waiting.map(String).join(', ') : '-',
      ];
    }),
  );
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '-';
}
