/** The image of the first container of every pod, put together by hand: one program in one layer (Docker's image format). */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './machine.ts';

export const PAUSE_IMAGE = 'distric.io/pause:1';

/** Writes the image as an archive in `dir`, and gives the archive's path. */
export function writePauseImage(program: string, dir: string): string {
  mkdirSync(dir, { recursive: true });
  copyFileSync(program, join(dir, 'pause'));
  const layer = join(dir, 'layer.tar');
  run('tar', [
    '--create',
    '--file',
    layer,
    '--directory',
    dir,
    '--mode',
    '0755',
    '--owner',
    '0',
    '--group',
    '0',
    'pause',
  ]);
  const digest = createHash('sha256').update(readFileSync(layer)).digest('hex');
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Entrypoint: ['/pause'], User: '65535:65535' },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const manifest = [{ Config: 'config.json', RepoTags: [PAUSE_IMAGE], Layers: ['layer.tar'] }];
  writeFileSync(join(dir, 'manifest.json'), JSON.stringify(manifest));
  const archive = join(dir, 'pause-image.tar');
  run('tar', ['--create', '--file', archive, '--directory', dir, 'manifest.json', 'config.json', 'layer.tar']);
  return archive;
}
