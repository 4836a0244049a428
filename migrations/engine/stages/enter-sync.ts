import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { declareTopology } from '@strangler/platform/outbox/declare.ts';
import { installOutbox, outboxInstaller } from '@strangler/platform/outbox/schema.ts';
import { installTargetTables } from '../apply/own-tables.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { installCapture } from '../capture/install-capture.ts';
import { pipeTopology } from '../pipe/apply-consumer.ts';
import { markFloor } from '../pipe/floor.ts';
import { capturePlans } from './measure.ts';
import type { StageWork } from './stage-work.ts';

/**
 * Installs a slice's pipe, from its end to its beginning: what a change needs on its way is there before the first one is
 * captured. Interrupted, it is run again: what stands is left alone.
 * @throws TopologyMismatch, OutboxSchemaError, TableBusyError, FloorBusyError, and what the servers refuse
 */
export async function enterSync(
  { databases, rabbit, exchange, signal, tell }: StageWork,
  tables: readonly MappedTable[],
  document: Pick<FlagDocument, 'epoch'>,
): Promise<void> {
  const { slice, source, target } = databases;
  await installTargetTables(target.apply);
  tell({ kind: 'step', where: 'target', what: 'versions, positions and checkpoints of the pipe have their tables' });

  await declareTopology(rabbit, pipeTopology(slice, exchange));
  tell({ kind: 'step', where: 'broker', what: `the queues of ${slice.slice}'s applier are declared` });

  const installer = await outboxInstaller(source.write);
  await installOutbox(source.write, { installedBy: 'strangler' });
  if (installer === undefined) tell({ kind: 'step', where: 'source', what: 'the outbox is installed' });

  const outcomes = await installCapture(
    source.write,
    {
      slice: slice.slice,
      database: tables[0]?.source.database ?? '',
      epoch: document.epoch,
      plans: capturePlans(slice.slice, tables),
    },
    { signal },
  );
  for (const { table, done, lockedMs } of outcomes) {
    tell({
      kind: 'step',
      where: 'source',
      what: `capture of ${table} is ${done}; its writers waited ${lockedMs} ms at most`,
    });
  }
  await markFloor({
    ...{ source: source.write, target: target.apply, slice: slice.slice, epoch: document.epoch },
    tables: tables.map((table) => table.source.name),
  });
}
