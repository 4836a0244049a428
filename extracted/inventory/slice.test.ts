import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { openApiDocument } from './openapi.ts';

const file = new URL('../../migrations/slices/inventory/slice.yaml', import.meta.url);
const { slice, faults } = parseSliceFile(readFileSync(file, 'utf8'), 'slice.yaml');

test('the slice is one: its file has no fault, and every route of the API is in it', () => {
  expect(faults).toEqual([]);
  const described = Object.entries(openApiDocument().paths ?? {}).flatMap(([path, item]) =>
    (['get', 'post', 'put', 'patch', 'delete'] as const)
      .filter((method) => path.startsWith('/api/') && item?.[method] !== undefined)
      .map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
  );
  expect(slice?.routes.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(described.sort());
  expect(existsSync(new URL(slice?.openapi ?? 'none', file))).toBe(true);
});

test('the slice moves the stock, and only refers to products', () => {
  expect(slice?.tables.map(({ source, reference }) => [source, reference])).toEqual([
    ['stock_levels', false],
    ['stock_adjustments', false],
    ['products', true],
  ]);
});
