/** Settings of this machine's kernel that a kubelet insists on; they are as they were when the cluster is gone. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { STATE_DIR, writeInto } from './layout.ts';

const FILE = join(STATE_DIR, 'kernel-settings.json');
const SETTINGS = ['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'];

const fileOf = (setting: string): string => join('/proc/sys', setting);

export function saveSettings(): void {
  writeInto(FILE, JSON.stringify(SETTINGS.map((setting) => [setting, readFileSync(fileOf(setting), 'utf8')])));
}

export function restoreSettings(): void {
  if (!existsSync(FILE)) return;
  const saved = JSON.parse(readFileSync(FILE, 'utf8')) as [string, string][];
  for (const [setting, value] of saved) {
    if (readFileSync(fileOf(setting), 'utf8') !== value) writeFileSync(fileOf(setting), value);
  }
}
