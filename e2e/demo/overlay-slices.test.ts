import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { overlaySlices } from './overlay-slices.ts';

describe('slices with options laid over', () => {
  let root: string;
  let folder: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'overlay-'));
    folder = join(root, 'slices');
  });
  afterEach(() => rmSync(root, { recursive: true }));
  const catalogOf = async (where: string) =>
    (await readSliceDirectory(where)).find(({ slice }) => slice === 'catalog')!;

  test('say what is laid over them, and else what they said', async () => {
    const canary = { steps: [25, 100], bake: '2s', minSamples: 20 };
    const laid = await catalogOf(overlaySlices(folder, { catalog: { gates: { canary }, stickyBy: ['ip'] } }));
    const original = await catalogOf(join(repositoryRoot, 'migrations/slices'));
    expect(laid.gates.canary).toMatchObject({ steps: [25, 100], bakeMs: 2_000, minSamples: 20 });
    expect(laid.stickyBy).toHaveLength(1);
    expect(laid).toEqual({ ...original, gates: laid.gates, stickyBy: laid.stickyBy, openapi: laid.openapi });
  });

  test('may have the same options laid over again', async () => {
    overlaySlices(folder, { catalog: { gates: { canary: { steps: [5, 100] } } } });
    const again = join(root, 'again');
    const { gates } = await catalogOf(
      overlaySlices(again, { catalog: { gates: { canary: { steps: [50, 100] } } } }, folder),
    );
    expect(gates.canary.steps).toEqual([50, 100]);
  });

  test('still name the description that they are of', async () => {
    const { openapi } = await catalogOf(overlaySlices(folder, { catalog: {} }));
    expect(existsSync(join(folder, 'catalog', openapi!))).toBe(true);
    const { openapi: untouched } = await catalogOf(overlaySlices(folder, {}));
    expect(existsSync(join(folder, 'catalog', untouched!))).toBe(true);
  });

  test('are refused where there is no such slice', () => {
    expect(() => overlaySlices(folder, { books: {} })).toThrow(
      /expected a slice of .* \(catalog, inventory, notifications, orders, payments\), found "books"/,
    );
  });
});
