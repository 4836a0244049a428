import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { isScalar, parseDocument } from 'yaml';

/** By the name of a slice: options of its file, each in place of what the file says of it. */
export type SliceOverlays = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/**
 * Copies a folder of slices, the repository's unless told, into another, with options laid over their files.
 * What the files name of the repository (`openapi`) they still name. Returns the other folder, for `slicesFolder`.
 */
export const overlaySlices = (
  folder: string,
  overlays: SliceOverlays,
  from = join(repositoryRoot, 'migrations/slices'),
): string => {
  cpSync(from, folder, { recursive: true });
  const slices = readdirSync(from).filter((name) => existsSync(join(from, name, 'slice.yaml')));
  const stranger = Object.keys(overlays).find((name) => !slices.includes(name));
  if (stranger !== undefined) {
    throw new Error(`expected a slice of ${from} (${slices.join(', ') || 'none there'}), found "${stranger}"`);
  }
  for (const slice of slices) {
    const copy = join(folder, slice, 'slice.yaml');
    const document = parseDocument(readFileSync(copy, 'utf8'));
    const openapi = document.get('openapi', true);
    if (isScalar<string>(openapi)) openapi.value = relative(dirname(copy), resolve(from, slice, openapi.value));
    for (const [name, value] of Object.entries(overlays[slice] ?? {})) document.set(name, document.createNode(value));
    writeFileSync(copy, document.toString());
  }
  return folder;
};
