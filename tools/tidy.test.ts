import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { layerViolation } from './layers.ts';
import { ROOT_DIR } from './steps.ts';
import { FILE_LINES_MAX, linkFindings, mentionFindings, sourceFindings, textFindings } from './tidy-rules.ts';

const LEFT_ALONE = new Set(['.git', 'node_modules', 'dist', 'coverage', '.distric', 'results']);
const TEXT = /\.(?:ts|js|json|md|ya?ml|go|mod|sh)$|^\.ci\/run$/;

const files = listFiles('').filter((path) => TEXT.test(path) && path !== 'package-lock.json');
const read = (path: string): string => readFileSync(join(ROOT_DIR, path), 'utf8');
const exists = (path: string): boolean => existsSync(join(ROOT_DIR, path));

function listFiles(folder: string): string[] {
  return readdirSync(join(ROOT_DIR, folder), { withFileTypes: true })
    .filter((entry) => !LEFT_ALONE.has(entry.name))
    .flatMap((entry) => {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      return entry.isDirectory() ? listFiles(path) : [path];
    });
}

describe('the tree', () => {
  it('keeps imports, names, lengths and tests in order', () => {
    const sources = files.filter((path) => path.endsWith('.ts'));
    expect(sources.length).toBeGreaterThan(10);
    expect(sources.flatMap((path) => sourceFindings(path, read(path)))).toEqual([]);
  });

  it('names no machine, no registry and nothing left to do', () => {
    expect(files.flatMap((path) => textFindings(path, read(path)))).toEqual([]);
  });

  it('has no link to a page that does not exist', () => {
    const pages = files.filter((path) => path.endsWith('.md'));
    expect(pages.flatMap((path) => linkFindings(path, read(path), exists))).toEqual([]);
    expect(
      files
        .filter((path) => path !== 'tools/tidy.test.ts')
        .flatMap((path) => mentionFindings(path, read(path), exists)),
    ).toEqual([]);
  });

  it('locks packages by hash and not by the host they came from', () => {
    const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { resolved?: string }> };
    const fromHosts = Object.entries(lock.packages).filter(([, entry]) => /^https?:/.test(entry.resolved ?? ''));
    expect(fromHosts).toEqual([]);
  });
});

describe('sourceFindings() finds', () => {
  const inTest = (body: string): string[] => sourceFindings('base/x.test.ts', body);

  it('a test that is left out or focused', () => {
    expect(inTest("it.only('a', () => { expect(1).toBe(1); });")).toHaveLength(1);
    expect(inTest("describe.skip('a', () => {});")).toHaveLength(1);
    expect(inTest("it.skip.each([1])('a', () => { expect(1).toBe(1); });")).not.toEqual([]);
  });

  it('a test that expects nothing', () => {
    expect(inTest("it('a', () => { run(); });")).toHaveLength(1);
    expect(inTest("it.each([1])('a', () => { run(); });")).toHaveLength(1);
    expect(inTest("it('a', () => { expect(run()).toBe(1); });")).toEqual([]);
    expect(inTest("it('a', () => { expectRefused('x'); });")).toEqual([]);
  });

  it('a file that is too long, badly named or a barrel', () => {
    expect(sourceFindings('base/x.ts', '\n'.repeat(FILE_LINES_MAX))).toHaveLength(1);
    expect(sourceFindings('base/twoWords.ts', '')).toHaveLength(1);
    expect(sourceFindings('api/index.ts', '')).toHaveLength(1);
  });

  it('an import against the grain, in whatever form it is written', () => {
    expect(sourceFindings('base/x.ts', "import { a } from '../api/rule.ts';")).toHaveLength(1);
    expect(sourceFindings('base/x.ts', "export { a } from '../api/rule.ts';")).toHaveLength(1);
    expect(sourceFindings('base/x.ts', "const a = await import('../api/rule.ts');")).toHaveLength(1);
    expect(sourceFindings('base/x.ts', "import type { A } from './y.ts';")).toEqual([]);
  });
});

describe('layerViolation()', () => {
  it.each([
    ['api/rule.ts', 'node/requests.ts'],
    ['node/core/raft/raft.ts', 'node/core/tlv/struct.ts'],
    ['node/core/raft/raft.ts', 'node/io/host.ts'],
    ['node/core/raft/raft.ts', 'node:fs'],
    ['node/core/rules/rule-set.ts', 'node/core/workflow/plan.ts'],
    ['node/node.ts', 'node/io/lmdb/log.ts'],
    ['node/node.ts', 'node/main.ts'],
    ['node/io/http/server.ts', 'node/io/lmdb/log.ts'],
    ['node/io/http/server.test.ts', 'node/io/lmdb/log.ts'],
    ['node/sim/cluster.ts', 'node/io/net/peer-net.ts'],
    ['cli/client.ts', 'node/requests.ts'],
    ['e2e/restart.test.ts', 'operator/main.ts'],
    ['operator/planner/build.ts', 'operator/kube/apply.ts'],
  ])('refuses that %s imports %s', (importer, target) => {
    expect(layerViolation(importer, target)).toContain(importer);
  });

  it.each([
    ['node/core/state/apply.ts', 'node/core/rules/rule-set.ts'],
    ['node/core/raft/raft.test.ts', 'node/io/host.ts'],
    ['node/node.ts', 'node/core/raft/raft.ts'],
    ['node/main.ts', 'node/run/coordinator.ts'],
    ['node/run/coordinator.ts', 'node/io/lmdb/log.ts'],
    ['node/io/http/server.ts', 'fastify'],
    ['cli/local-cluster.ts', 'api/config.ts'],
  ])('lets %s import %s', (importer, target) => {
    expect(layerViolation(importer, target)).toBeUndefined();
  });
});

describe('textFindings() and linkFindings() find', () => {
  it('paths of a machine, registries and work left over', () => {
    const joined = (...parts: string[]): string => parts.join('');
    expect(textFindings('a.ts', joined("const a = '/wo", "rk/main/x';"))).toHaveLength(1);
    expect(textFindings('a.ts', joined('// TO', 'DO later'))).toHaveLength(1);
    expect(textFindings('a.md', joined('https://regis', 'try.example.com/a'))).toHaveLength(1);
    expect(textFindings('a.ts', 'metrics.registry.register(counter); go(`${base}/work/${id}`)')).toEqual([]);
  });

  it('dead links, and leaves other sites, anchors and code alone', () => {
    const page = '[a](gone.md#x) [b](https://example.com) [c](#here) `[d](e.md)`\n```\n[f](g.md)\n```\n[h](there.md)';
    expect(linkFindings('docs/a.md', page, (path) => path === 'docs/there.md')).toEqual([
      'docs/a.md links to gone.md#x, which does not exist',
    ]);
    expect(
      mentionFindings('a.ts', '// see docs/gone.md and docs/there.md', (path) => path === 'docs/there.md'),
    ).toHaveLength(1);
  });
});
