/**
 * `npm run images -- [node] [operator] [--repository R] [--tag T] [--platform P]`: builds the images, prints their sizes,
 * and leaves their archives and bills of materials in `dist/images`.
 */
import { parseArgs } from 'node:util';
import { provision } from '../provision.ts';
import { buildImages, IMAGE_KINDS, IMAGE_NEEDS, packageVersion } from './images.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    repository: { type: 'string', default: 'distric.io' },
    tag: { type: 'string', default: packageVersion() },
    platform: { type: 'string' },
    provision: { type: 'boolean', default: false },
  },
});
const kinds = IMAGE_KINDS.filter((kind) => positionals.length === 0 || positionals.includes(kind));
if (positionals.some((one) => !IMAGE_KINDS.some((kind) => kind === one))) {
  throw new Error(`the images are ${IMAGE_KINDS.join(' and ')}`);
}
provision(IMAGE_NEEDS, values.provision ? ['--provision'] : []);
const { repository, tag, platform } = values;
const megabytes = (bytes: number): string => `${(bytes / 1000 ** 2).toFixed(1)} MB`;
const images = await buildImages(
  { kinds, repository, tag, ...(platform === undefined ? {} : { platform }) },
  console.log,
);
for (const { name, totalBytes, addedBytes, archive, sbom } of images) {
  console.log(`${name}: ${megabytes(totalBytes)}, ${megabytes(addedBytes)} over its base\n  ${archive}\n  ${sbom}`);
}
