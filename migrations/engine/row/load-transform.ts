import { stat } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { RowImage } from '@strangler/platform/contracts/row-message.ts';
import { z } from 'zod';
import type { RowTransform } from './table-mapping.ts';

/** A transform that cannot be used; the message names the module and what is wrong. */
export class TransformError extends Error {
  override name = 'TransformError';
}

const columnNames = z.array(z.string().min(1)).min(1);
const isFunction = z.custom<(row: RowImage) => RowImage>((value) => typeof value === 'function', 'must be a function');
const transformSchema = z.object({
  sourceColumns: columnNames,
  targetColumns: columnNames,
  toTarget: isFunction,
  toSource: isFunction,
});

/**
 * Loads the module that a slice file names, from the folder in which the file stands.
 * @throws TransformError when it is outside of that folder, does not load, or exports no `transform` of that shape.
 */
export const loadTransform = async (sliceFolder: string, path: string): Promise<RowTransform> => {
  const folder = resolve(sliceFolder);
  const file = resolve(folder, path);
  if (!file.startsWith(folder + sep)) {
    throw new TransformError(`transform ${path}: expected a module in ${folder}, found one outside of it`);
  }
  const module = (await importFresh(file).catch((cause: unknown) => {
    throw new TransformError(`transform ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  })) as { transform?: unknown };
  const parsed = transformSchema.safeParse(module.transform);
  if (parsed.success) return module.transform as RowTransform;
  const faults = parsed.error.issues.map((issue) => `${['transform', ...issue.path].join('.')}: ${issue.message}`);
  throw new TransformError(`transform ${file}: ${faults.join('; ')}`);
};

/** As the file now is, even where an earlier state of it was loaded. */
const importFresh = async (file: string): Promise<unknown> => {
  const { mtimeMs } = await stat(file);
  return await import(`${pathToFileURL(file).href}?mtime=${mtimeMs}`);
};
