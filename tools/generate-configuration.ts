import { SETTINGS, expectation, isRequired, type Setting } from '../api/config-schema.ts';

function defaultText({ path, schema }: Setting): string {
  if (schema.default !== undefined) return `\`${JSON.stringify(schema.default)}\``;
  return isRequired(path) ? '(required)' : '(none)';
}

function section(setting: Setting): string {
  const { path, variable, flag, schema } = setting;
  return [
    `### \`${path}\``,
    '',
    schema.description ?? '',
    '',
    `- Value: ${expectation(schema)}; default: ${defaultText(setting)}`,
    `- Environment: \`${variable}\`; flag: \`${flag}\``,
  ].join('\n');
}

const INTRODUCTION = `# Configuration

<!-- Generated from api/config-schema.ts by \`node tools/generate.ts\`: change it there. -->

A node reads its settings from a YAML file (\`--config FILE\`), from the environment and from flags.
For each setting on its own a flag wins over the environment, the environment over the file, the file over the default.
Nothing is ignored: an unknown key, a wrong type or a value out of bounds stops the start with the place, the reason and
the source of the value. An empty environment variable counts as not set. \`--print-config\` shows the joined result.

Lists in the environment and in flags are JSON, or separated by commas: \`DISTRIC_WORKER_PLUGIN_DIRS=./a,./b\`,
\`DISTRIC_COORDINATORS=c1=10.0.0.1:7400,c2=10.0.0.2:7400,c3=10.0.0.3:7400\`.

A coordinator:

\`\`\`yaml
nodeId: c1
role: coordinator
dataDir: ./data/c1
peer: { port: 7401 }
http: { port: 8081 }
metrics: { port: 9091 }
coordinators:
  - { id: c1, address: '127.0.0.1:7401', httpAddress: '127.0.0.1:8081' }
  - { id: c2, address: '127.0.0.1:7402', httpAddress: '127.0.0.1:8082' }
  - { id: c3, address: '127.0.0.1:7403', httpAddress: '127.0.0.1:8083' }
\`\`\`

A worker names the same coordinators:

\`\`\`yaml
nodeId: w1
role: worker
metrics: { port: 9094 }
worker: { concurrency: 32, pluginDirs: [./plugins] }
coordinators:
  - { id: c1, address: '127.0.0.1:7401' }
  - { id: c2, address: '127.0.0.1:7402' }
  - { id: c3, address: '127.0.0.1:7403' }
\`\`\`

\`DISTRIC_HTTP_ALLOW\` (workers) is read by the \`http\` plugin: see [plugins.md](plugins.md).

## Settings

`;

/** The text of docs/configuration.md. */
export function configurationMarkdown(): string {
  return `${INTRODUCTION}${SETTINGS.map(section).join('\n\n')}\n`;
}
