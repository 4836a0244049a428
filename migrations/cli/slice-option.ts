import { join } from 'node:path';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { Command } from 'commander';
import { CliError, exitCodes } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

export type SlicesOptions = { slices?: string };

/** Adds the option of every command that reads slice files. */
export const withSlicesOption = (command: Command): Command =>
  command.option('--slices <folder>', 'folder of slice files (default: $STRANGLER_SLICES)');

/** What an option or a variable of the environment says. @throws CliError where neither does */
export const setting = (value: string | undefined, option: string, variable: string): string => {
  if (value !== undefined && value !== '') return value;
  throw new CliError(`expected ${option}, found neither that nor $${variable}: give one of them`, exitCodes.usage);
};

/** All slices of the folder. */
export const readSlices = (
  { slices }: SlicesOptions,
  { environment }: Pick<Terminal, 'environment'>,
): Promise<Slice[]> =>
  readSliceDirectory(setting(slices ?? environment.STRANGLER_SLICES, '--slices <folder>', 'STRANGLER_SLICES'));

/** A slice by its name, and the folder of its file. @throws CliError where there is no such slice */
export const readSliceNamed = async (
  name: string,
  { slices }: SlicesOptions,
  { environment }: Pick<Terminal, 'environment'>,
): Promise<{ slice: Slice; folder: string }> => {
  const from = setting(slices ?? environment.STRANGLER_SLICES, '--slices <folder>', 'STRANGLER_SLICES');
  const all = await readSliceDirectory(from);
  const slice = all.find((one) => one.slice === name);
  if (slice !== undefined) return { slice, folder: join(from, name) };
  const known = all.map((one) => one.slice).join(', ') || 'none there';
  throw new CliError(`expected a slice of ${from} (${known}), found "${name}"`, exitCodes.usage);
};
