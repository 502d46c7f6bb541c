/** The images of the project: their names, and how they are built. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KUBERNETES_TESTS } from '../cluster-needs.ts';
import type { SystemNeed } from '../provision.ts';
import { ROOT_DIR } from '../steps.ts';
import { makeBaseImage } from './base-image.ts';
import { Engine } from './engine.ts';

export const IMAGE_KINDS = ['node', 'operator'] as const;
export type ImageKind = (typeof IMAGE_KINDS)[number];

const OUTPUT_DIR = join(ROOT_DIR, 'dist', 'images');
/** Over its base. */
const IMAGE_BYTES_MAX = 200 * 1000 ** 2;

const neededFor = KUBERNETES_TESTS;
export const IMAGE_NEEDS: readonly SystemNeed[] = [
  { program: 'dockerd', package: 'docker.io', neededFor },
  { program: 'debootstrap', package: 'debootstrap', neededFor },
];

export interface BuiltImage {
  kind: ImageKind;
  name: string;
  /** What it adds to its base. */
  addedBytes: number;
  totalBytes: number;
  /** `docker save`, for clusters without a registry. */
  archive: string;
  /** CycloneDX, of its packages. */
  sbom: string;
}

export interface ImageOptions {
  kinds: readonly ImageKind[];
  /** In front of the image's name, such as a registry with a path. */
  repository: string;
  tag: string;
  /** Such as `linux/arm64`; the engine must be able to run it. */
  platform?: string;
}

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(ROOT_DIR, 'package.json'), 'utf8')) as { version: string };
  return version;
}

export async function buildImages(options: ImageOptions, progress: (line: string) => void): Promise<BuiltImage[]> {
  mkdirSync(OUTPUT_DIR, { recursive: true });
  const engine = await Engine.open();
  try {
    return options.kinds.map((kind) => {
      progress(`building the image of the ${kind}`);
      return build(engine, kind, options);
    });
  } finally {
    await engine.close();
  }
}

function build(engine: Engine, kind: ImageKind, { repository, tag, platform }: ImageOptions): BuiltImage {
  const dockerfile = join(ROOT_DIR, `Dockerfile.${kind}`);
  if (!existsSync(dockerfile)) throw new Error(`there is no ${dockerfile}`);
  const base = baseOf(readFileSync(dockerfile, 'utf8'));
  if (engine.isOwn && !engine.has(base)) makeBaseImage(engine, base);
  const name = `${repository}/${kind}:${tag}`;
  const forPlatform = platform === undefined ? [] : ['--platform', platform];
  engine.docker(['build', '--network', 'host', ...forPlatform, '--file', dockerfile, '--tag', name, ROOT_DIR]);
  const sizeOf = (image: string): number => Number(engine.docker(['inspect', '--format', '{{.Size}}', image]));
  const totalBytes = sizeOf(name);
  const addedBytes = totalBytes - sizeOf(base);
  if (addedBytes > IMAGE_BYTES_MAX) {
    throw new Error(`${name} adds ${addedBytes} bytes to its base; the limit is ${IMAGE_BYTES_MAX}`);
  }
  const archive = join(OUTPUT_DIR, `${kind}.tar`);
  engine.docker(['save', '--output', archive, name]);
  const sbom = join(OUTPUT_DIR, `${kind}.sbom.cdx.json`);
  const print = ['run', '--rm', '--network', 'none', '--read-only', '--entrypoint', 'cat', name];
  writeFileSync(sbom, engine.docker([...print, '/opt/distric/sbom.cdx.json']));
  return { kind, name, addedBytes, totalBytes, archive, sbom };
}

/** The image that the last stage starts from. */
export function baseOf(dockerfile: string): string {
  const [, base] = [...dockerfile.matchAll(/^FROM (\S+)$/gm)].at(-1) ?? [];
  if (base === undefined) throw new Error('the last stage has no plain FROM line');
  return base;
}
