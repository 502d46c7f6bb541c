/** The part of this machine's cgroups (version 1, one tree for each controller) that a node's pods are in. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { until } from '../until.ts';

const GONE_LIMIT_MS = 30_000;
/** A cpuset takes nothing from its parent, and without these it takes no process. */
const CPUSET_FILES = ['cpuset.cpus', 'cpuset.mems'];

function trees(types: readonly string[]): string[] {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  return mounts.flatMap((line) => {
    const [, folder, type] = line.split(' ');
    return type !== undefined && types.includes(type) && folder !== undefined ? [folder] : [];
  });
}

export function makeCgroups(name: string): void {
  const all = trees(['cgroup']);
  if (all.length === 0) throw new Error('this machine has no cgroups of version 1, which the test cluster is made for');
  for (const tree of all) {
    const dir = join(tree, name);
    mkdirSync(dir, { recursive: true });
    for (const file of CPUSET_FILES.filter((one) => existsSync(join(dir, one)))) {
      writeFileSync(join(dir, file), readFileSync(join(dirname(dir), file)));
    }
  }
}

/** The kernel lets a cgroup go when the last of its processes is gone, which is a moment after they were killed. */
export async function removeCgroups(name: string): Promise<void> {
  // Beside those trees runc makes one in version 2's, where there is one.
  const dirs = trees(['cgroup', 'cgroup2'])
    .map((tree) => join(tree, name))
    .filter((dir) => existsSync(dir));
  await until(`the cgroups ${name} are empty`, GONE_LIMIT_MS, () => {
    for (const dir of dirs.filter((one) => existsSync(one))) removeTree(dir);
    return Promise.resolve(true);
  });
}

function removeTree(dir: string): void {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(dir, entry.name));
  }
  rmdirSync(dir);
}
