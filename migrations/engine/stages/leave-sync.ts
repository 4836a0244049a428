import { deleteConsumer } from '@strangler/platform/outbox/declare.ts';
import { dropOutbox, outboxInstaller, outboxTable } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import { forgetPipe, forgetSlice } from '../apply/forget-slice.ts';
import { removeCapture } from '../capture/install-capture.ts';
import { captureStateTable } from '../capture/record-row.ts';
import { dropJournals } from '../cutover/journal-table.ts';
import { removeFence } from '../fence/install-fence.ts';
import { applyConsumer } from '../pipe/apply-consumer.ts';
import { dropCanary } from '../pipe/canary.ts';
import { reverseSlice } from '../pipe/reverse-tables.ts';
import { rowsOf } from '../schema/queryable.ts';
import { nameOf } from './complete.ts';
import type { StageWork } from './stage-work.ts';

/**
 * Takes a slice's pipes away, each from its beginning to its end, and with them the rows that were copied and whatever a
 * cut-over has left: the source is as it was. Interrupted, it is run again: what is gone is passed over.
 * @throws TableBusyError, and what the servers refuse
 */
export async function leaveSync(work: StageWork): Promise<void> {
  const { databases, rabbit, exchange, tell } = work;
  const { slice, source, target } = databases;
  await endCapture(work, 'source', slice.slice);
  await deleteConsumer(rabbit, exchange, applyConsumer(slice));
  tell({ kind: 'step', where: 'broker', what: `the queues of ${slice.slice}'s applier are deleted` });

  await leaveCutOver(work);

  const targets = slice.tables.map((table) => table.target);
  const { emptied } = await forgetSlice(target.apply, { slice: slice.slice, targets });
  for (const { table, rows } of emptied) {
    tell({ kind: 'step', where: 'target', what: `${table} is emptied${rows === null ? '' : ` of ${rows} rows`}` });
  }
  await dropCanary(target.apply, slice.slice);
  await dropCanary(source.write, slice.slice);
  await dropJournals(source.write, slice.slice);
  await endOutbox(work, 'target');
  await endOutbox(work, 'source');
}

/** Takes the fences and the pipe back away. There are none where no cut-over has been prepared. */
async function leaveCutOver(work: StageWork): Promise<void> {
  const { databases, rabbit, exchange, signal, tell } = work;
  const { slice, source, target } = databases;
  for (const [where, db] of [['source', source.write] as const, ['target', target.apply] as const]) {
    const fence = { slice: slice.slice, database: await nameOf(db) };
    for (const { table, lockedMs } of await removeFence(db, fence, { signal })) {
      tell({ kind: 'step', where, what: `${table} has no fence any more; its writers waited ${lockedMs} ms at most` });
    }
  }
  const back = reverseSlice(slice);
  await endCapture(work, 'target', back.slice);
  await deleteConsumer(rabbit, exchange, applyConsumer(back));
  await forgetPipe(source.write, { pipe: back.slice, targets: back.tables.map((table) => table.target) });
}

async function endCapture(work: StageWork, where: 'source' | 'target', pipe: string): Promise<void> {
  const { databases, signal, tell } = work;
  const db = where === 'source' ? databases.source.write : databases.target.apply;
  for (const { table, lockedMs } of await removeCapture(db, { slice: pipe, database: await nameOf(db) }, { signal })) {
    tell({ kind: 'step', where, what: `${table} is captured no more; its writers waited ${lockedMs} ms at most` });
  }
}

async function endOutbox({ databases, tell }: StageWork, where: 'source' | 'target'): Promise<void> {
  const outbox = await dropOwnOutbox(where === 'source' ? databases.source.write : databases.target.apply);
  if (outbox === 'none') return;
  // A service's own is nobody's business here.
  if (where === 'target' && outbox !== 'dropped') return;
  tell({ kind: 'step', where, what: outbox === 'dropped' ? 'the outbox is dropped' : `the outbox stays: ${outbox}` });
}

/** Drops an outbox that was installed for capture only, with the last slice that is captured. */
async function dropOwnOutbox(db: Pool): Promise<string> {
  const installer = await outboxInstaller(db);
  if (installer === undefined) return 'none';
  if (installer === 'application') return 'the application records events in it';
  const [captured] = await rowsOf(db, 'SHOW TABLES LIKE ?', [captureStateTable.replaceAll('_', '\\_')]);
  if (captured !== undefined) return 'other slices are captured';
  const [event] = await rowsOf(db, `SELECT 1 FROM ${outboxTable} WHERE kind = 'event' LIMIT 1`);
  if (event !== undefined) return 'events are recorded in it';
  await dropOutbox(db);
  return 'dropped';
}
