import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';

/**
 * Copies the repository's slices into a folder, with gates over the catalogue's that somebody who watches can wait for. A
 * canary of some fifty users begins with a quarter of them, or it might begin with nobody.
 */
export const writeComparedSlices = (folder: string, slice: string): string => {
  cpSync(join(repositoryRoot, 'migrations/slices'), folder, { recursive: true });
  const file = join(folder, slice, 'slice.yaml');
  const description = relative(join(folder, slice), join(repositoryRoot, 'extracted', slice, 'openapi.yaml'));
  // What the slice file says of these itself is said anew.
  const kept = readFileSync(file, 'utf8').replace(/^(openapi|shadow|gates):.*\n(?: .*\n)*/gm, '');
  writeFileSync(
    file,
    `${kept}openapi: ${description}
shadow: { sample: 1, calibrate: 0.2, writes: dry-run }
gates:
  shadow: { samples: 300, mismatches: 0, perCell: 3 }
  canary: { steps: [25, 100], bake: 60s, maxErrorRate: 0.01, maxP99Ratio: 20, maxMismatchRate: 0.01, minSamples: 20 }
`,
  );
  return folder;
};
