import { deleteConsumer } from '@strangler/platform/outbox/declare.ts';
import { dropOutbox, outboxInstaller, outboxTable } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import { forgetSlice } from '../apply/forget-slice.ts';
import { removeCapture } from '../capture/install-capture.ts';
import { captureStateTable } from '../capture/record-row.ts';
import { applyConsumer } from '../pipe/apply-consumer.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import type { StageWork } from './stage-work.ts';

/**
 * Takes a slice's pipe away, from its beginning to its end, and with it the rows that it has copied: the source is as it
 * was. Interrupted, it is run again: what is gone is passed over.
 * @throws TableBusyError, and what the servers refuse
 */
export async function leaveSync(work: StageWork): Promise<void> {
  const { databases, rabbit, exchange, signal, tell } = work;
  const { slice, source, target } = databases;
  const database = await nameOf(source.write);
  for (const { table, lockedMs } of await removeCapture(source.write, { slice: slice.slice, database }, { signal })) {
    tell({
      kind: 'step',
      where: 'source',
      what: `${table} is captured no more; its writers waited ${lockedMs} ms at most`,
    });
  }

  await deleteConsumer(rabbit, exchange, applyConsumer(slice));
  tell({ kind: 'step', where: 'broker', what: `the queues of ${slice.slice}'s applier are deleted` });

  const targets = slice.tables.map((table) => table.target);
  const { emptied } = await forgetSlice(target.apply, { slice: slice.slice, targets });
  for (const { table, rows } of emptied) {
    tell({ kind: 'step', where: 'target', what: `${table} is emptied${rows === null ? '' : ` of ${rows} rows`}` });
  }
  const outbox = await dropOwnOutbox(source.write);
  if (outbox !== 'none') {
    const what = outbox === 'dropped' ? 'the outbox is dropped' : `the outbox stays: ${outbox}`;
    tell({ kind: 'step', where: 'source', what });
  }
}

/** Drops an outbox that was installed for capture only, with the last slice that is captured. */
async function dropOwnOutbox(source: Pool): Promise<string> {
  const installer = await outboxInstaller(source);
  if (installer === undefined) return 'none';
  if (installer === 'application') return 'the application records events in it';
  const [captured] = await rowsOf(source, 'SHOW TABLES LIKE ?', [captureStateTable.replaceAll('_', '\\_')]);
  if (captured !== undefined) return 'other slices are captured';
  const [event] = await rowsOf(source, `SELECT 1 FROM ${outboxTable} WHERE kind = 'event' LIMIT 1`);
  if (event !== undefined) return 'events are recorded in it';
  await dropOutbox(source);
  return 'dropped';
}

const nameOf = async (db: Queryable): Promise<string> => {
  const [row] = await rowsOf<{ name: string }>(db, 'SELECT DATABASE() AS name');
  return row?.name ?? '';
};
