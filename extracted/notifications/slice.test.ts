import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { openApiDocument } from './openapi.ts';

test('the slice file moves no table, and routes only what the document describes', () => {
  const file = new URL('../../migrations/slices/notifications/slice.yaml', import.meta.url);
  const { slice, faults } = parseSliceFile(readFileSync(file, 'utf8'), 'slice.yaml');
  expect(faults).toEqual([]);
  expect(slice?.tables.map(({ target, reference }) => ({ target, reference }))).toEqual([
    { target: 'recipients', reference: true },
  ]);
  const paths = openApiDocument().paths ?? {};
  for (const { method, path } of slice?.routes ?? []) {
    const described = path.replace(/:(\w+)/g, '{$1}');
    expect(Object.keys(paths[described] ?? {})).toContain(method.toLowerCase());
  }
});
