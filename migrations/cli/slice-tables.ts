import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { ownTables } from '../engine/apply/own-tables.ts';
import type { MappedTable } from '../engine/apply/row-shape.ts';
import { findDrift } from '../engine/capture/drift.ts';
import { captureStateTable } from '../engine/capture/record-row.ts';
import { readFence } from '../engine/fence/fence-state.ts';
import { isCanary } from '../engine/pipe/canary.ts';
import { type Queryable, rowsOf } from '../engine/schema/queryable.ts';
import { capturePlans } from '../engine/stages/measure.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import type { OpenPipe } from './pipe-options.ts';

/** The slice's table of that name, in the source or in the target; all of them without a name. @throws CliError */
export const pickTables = (all: readonly MappedTable[], name: string | undefined): readonly MappedTable[] => {
  const tables = all.filter((table) => !isCanary(table));
  if (name === undefined) return tables;
  const found = tables.filter(({ mapping }) => mapping.source === name || mapping.target === name);
  if (found.length > 0) return found;
  const known = tables.map(({ mapping }) => mapping.target).join(', ');
  throw new CliError(`--table: expected a table of the slice (${known}), found "${name}"`, exitCodes.usage);
};

/** Sees that what the pipe needs beside the slice's own tables is in both databases. @throws CliError, refused */
export const requireInstalled = async ({ sliceName, direction, source, target }: OpenPipe): Promise<void> => {
  const [here, there] = direction === 'forward' ? ["monolith's", "service's"] : ["service's", "monolith's"];
  const missing = [
    ...(await missingTables(source.read, [outboxTable, captureStateTable])).map((name) => `${name} in the ${here}`),
    ...(await missingTables(target.read, ownTables)).map((name) => `${name} in the ${there}`),
  ];
  if (missing.length === 0) return;
  throw new CliError(
    `${sliceName}: expected its pipe to be installed, found no ${missing.join(' and no ')} database; ` +
      `type "strangler advance ${sliceName}", which installs it`,
    exitCodes.refused,
  );
};

/** Sees that the monolith owns the slice's tables: only then is there anything to copy. @throws CliError, refused */
export const requireOwnedByMonolith = async ({ sliceName, source }: OpenPipe): Promise<void> => {
  const fence = await readFence(source.read, sliceName);
  if (fence?.state !== 'closed') return;
  throw new CliError(
    `${sliceName}: expected tables that the monolith owns, found them owned by the ${fence.owner} since epoch ${fence.epoch}; ` +
      `what differs is mended with "strangler repair ${sliceName} --differences"`,
    exitCodes.refused,
  );
};

/**
 * Sees that every change of the slice's tables is captured: a row that changes unseen while it is copied would stay as it
 * was copied. @throws CliError, refused
 */
export const requireCaptured = async (pipe: OpenPipe, tables: readonly MappedTable[]): Promise<void> => {
  const { slice } = pipe.slice;
  await requireInstalled(pipe);
  const database = tables[0]?.source.database ?? '';
  const drifts = await findDrift(pipe.source.read, database, slice, capturePlans(slice, tables));
  const gaps = drifts.filter(({ kind }) => kind !== 'stray');
  if (gaps.length === 0) return;
  throw new CliError(
    `${slice}: expected every change of its tables to be captured, or what changes meanwhile would be lost; found\n` +
      `${gaps.map(({ kind, name, reason }) => `  ${name} ${kind}: ${reason}`).join('\n')}\n` +
      `Type "strangler plan ${slice}" to see what is to be done`,
    exitCodes.refused,
  );
};

const missingTables = async (db: Queryable, names: readonly string[]): Promise<string[]> => {
  const found = await rowsOf<{ name: string }>(
    db,
    'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN (?)',
    [names],
  );
  return names.filter((name) => !found.some((table) => table.name === name));
};
