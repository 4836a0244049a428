import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { openApiDocument } from './openapi.ts';

const file = fileURLToPath(new URL('../../migrations/slices/orders/slice.yaml', import.meta.url));

test('the slice file is one that the kit takes', () => {
  const { slice, faults } = parseSliceFile(readFileSync(file, 'utf8'), file);
  expect(faults).toEqual([]);
  expect(slice).toMatchObject({ slice: 'orders', service: 'orders' });
  const tables = slice?.tables.map(({ source, reference }) => [source, reference ? 'copied' : 'moved']);
  expect(tables).toEqual([
    ['orders', 'moved'],
    ['order_items', 'moved'],
    ['idempotency_keys', 'moved'],
    ['accounts', 'copied'],
    ['products', 'copied'],
    ['categories', 'copied'],
    ['payments', 'copied'],
  ]);
});

test('its routes are described', () => {
  const { slice } = parseSliceFile(readFileSync(file, 'utf8'), file);
  const { paths = {} } = openApiDocument();
  for (const { method, path } of slice?.routes ?? []) {
    const item = paths[path.replace(/:(\w+)/g, '{$1}')] as Record<string, unknown> | undefined;
    expect({ path, described: item?.[method.toLowerCase()] !== undefined }).toEqual({ path, described: true });
  }
});
