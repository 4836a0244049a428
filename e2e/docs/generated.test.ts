import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import { sliceFileJsonSchema } from '@strangler/platform/contracts/slice-file.ts';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { generatedFiles } from './generated.ts';
import { tableUnder } from './tables.ts';

const read = (path: string): string => readFileSync(join(repositoryRoot, path), 'utf8');

test('what is made from code is current; node stack/run.mjs e2e/docs/regenerate.ts writes it anew', async () => {
  for (const [path, text] of await generatedFiles()) expect({ path, text: read(path) }).toEqual({ path, text });
});

test('the JSON Schema takes the slice files that the code takes, and refuses a misspelt option', async () => {
  const folder = join(repositoryRoot, 'migrations/slices');
  const validate = new Ajv2020({ strict: false }).compile(sliceFileJsonSchema());
  for (const { slice } of await readSliceDirectory(folder)) {
    const file: unknown = parse(read(`migrations/slices/${slice}/slice.yaml`));
    expect({ slice, valid: validate(file) }).toEqual({ slice, valid: true });
    expect(validate({ ...(file as object), stickBy: ['ip'] })).toBe(false);
  }
});

test('the exit statuses of strangler are those of the code', () => {
  const documented = tableUnder(read('docs/reference/strangler.md'), 'Exit statuses').map(([status]) => Number(status));
  expect(documented).toEqual(Object.values(exitCodes));
});
