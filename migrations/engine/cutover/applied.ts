import { pause } from '@strangler/platform/backoff.ts';
import { compareVersions, type RowVersion } from '@strangler/platform/contracts/row-message.ts';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { rowId } from '../apply/choose-changes.ts';
import { readPosition } from '../apply/positions.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { readVersions } from '../apply/versions.ts';
import { applyConsumerName } from '../pipe/apply-consumer.ts';
import type { PipeDatabases } from '../pipe/open-databases.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';

/** The newest captured version of a row of the source, and where it is in the target. */
export type NewestChange = { source: string; target: string; keyText: string; version: RowVersion };

/** Outbox ids: above the first, up to the second; null: whatever there is. Decimal text. */
export type IdRange = { above: string; upTo: string | null };

type Ends = Pick<PipeDatabases, 'slice' | 'source' | 'target'>;

/** Keys asked for in one statement. */
const keysAtOnce = 2_000;

/** The highest id of the outbox that is committed now; decimal text. */
export async function highestId(source: Queryable): Promise<string> {
  const [row] = await rowsOf<{ id: string }>(
    source,
    `SELECT CAST(COALESCE(MAX(id), 0) AS CHAR) AS id FROM ${outboxTable}`,
  );
  return row?.id ?? '0';
}

/** The id at or below which changes are of an earlier life of the pipe, and are not to be applied. */
export async function pipeFloor({ slice, target }: Pick<Ends, 'slice' | 'target'>): Promise<string> {
  return (await readPosition(target.read, applyConsumerName(slice.slice), 'none'))?.id ?? '0';
}

/**
 * Of every row that was changed in a range of ids, the newest of its changes there. The range is a short one: its rows
 * are read by their ids. Epoch and id are each the highest of the row: where they are not of one change, which capture
 * does not allow, no target ever has such a version, and whoever waits for it waits in vain.
 */
export async function newestInRange(
  { slice, source }: Pick<Ends, 'slice' | 'source'>,
  tables: readonly MappedTable[],
  { above, upTo }: IdRange,
): Promise<NewestChange[]> {
  if (tables.length === 0) return [];
  const rows = await rowsOf<ChangeRow>(
    source.read,
    `SELECT subject, CONVERT(subject_key USING utf8mb4) AS keyText, MAX(epoch) AS epoch, CAST(MAX(id) AS CHAR) AS id
     FROM ${outboxTable} FORCE INDEX (PRIMARY)
     WHERE id > ?${upTo === null ? '' : ' AND id <= ?'} AND kind = 'row' AND topic LIKE ? AND subject IN (?)
     GROUP BY subject, subject_key`,
    [above, ...(upTo === null ? [] : [upTo]), topicsOf(slice.slice), tables.map(({ mapping }) => mapping.source)],
  );
  return changesOf(tables, rows);
}

/** The same of all ids up to one, table by table and key by key. */
export async function* newestByKey(
  { slice, source }: Pick<Ends, 'slice' | 'source'>,
  tables: readonly MappedTable[],
  { above, upTo }: { above: string; upTo: string },
): AsyncGenerator<NewestChange[]> {
  for (const table of tables) {
    let after: string | null = null;
    for (;;) {
      const rows: ChangeRow[] = await rowsOf<ChangeRow>(
        source.read,
        `SELECT subject, CONVERT(subject_key USING utf8mb4) AS keyText, MAX(epoch) AS epoch, CAST(MAX(id) AS CHAR) AS id
         FROM ${outboxTable} FORCE INDEX (by_key)
         WHERE subject = ?${after === null ? '' : ' AND subject_key > CAST(CONVERT(? USING utf8mb4) AS BINARY)'}
           AND id > ? AND id <= ? AND kind = 'row' AND topic LIKE ?
         GROUP BY subject, subject_key ORDER BY subject_key LIMIT ${keysAtOnce}`,
        [table.mapping.source, ...(after === null ? [] : [after]), above, upTo, topicsOf(slice.slice)],
      );
      if (rows.length > 0) yield changesOf([table], rows);
      if (rows.length < keysAtOnce) break;
      after = rows.at(-1)?.keyText ?? null;
    }
  }
}

/** Those changes that the target does not have yet. A change that is parked, or a dead letter, is not in the target. */
export async function notApplied(
  { target }: Pick<Ends, 'target'>,
  changes: readonly NewestChange[],
): Promise<NewestChange[]> {
  const left: NewestChange[] = [];
  for (let at = 0; at < changes.length; at += keysAtOnce) {
    const some = changes.slice(at, at + keysAtOnce);
    const keys = some.map(({ target: table, keyText }) => ({ table, keyText }));
    const stored = await readVersions(target.read, keys, 'none');
    for (const change of some) {
      const version = stored.get(rowId(change.target, change.keyText));
      if (version === undefined || compareVersions(version, change.version) < 0) left.push(change);
    }
  }
  return left;
}

export type WaitOptions = { withinMs: number; lookEveryMs: number; signal: AbortSignal };

/** Waits until the target has all of these changes. @returns those it does not have when the time is over, or the signal fires */
export async function untilApplied(
  ends: Pick<Ends, 'target'>,
  changes: readonly NewestChange[],
  { withinMs, lookEveryMs, signal }: WaitOptions,
): Promise<NewestChange[]> {
  const startedMs = performance.now();
  let left = await notApplied(ends, changes);
  while (left.length > 0 && performance.now() - startedMs < withinMs) {
    if ((await pause(lookEveryMs, signal)) === 'aborted') break;
    left = await notApplied(ends, left);
  }
  return left;
}

/** For messages: how many rows, and which first. */
export const changesText = (changes: readonly NewestChange[]): string => {
  const first = changes.slice(0, 3).map(({ source, keyText, version }) => `${source} ${keyText} (${version.id})`);
  return `${changes.length} row${changes.length === 1 ? '' : 's'}: ${first.join(', ')}${changes.length > 3 ? ', …' : ''}`;
};

type ChangeRow = { subject: string; keyText: string; epoch: number; id: string };

const topicsOf = (pipe: string): string => `${pipe.replace(/[\\_%]/g, '\\$&')}.%`;

const changesOf = (tables: readonly MappedTable[], rows: readonly ChangeRow[]): NewestChange[] => {
  const targets = new Map(tables.map(({ mapping }) => [mapping.source, mapping.target]));
  return rows.map(({ subject, keyText, epoch, id }) => ({
    source: subject,
    target: targets.get(subject) ?? subject,
    keyText,
    version: { epoch: Number(epoch), id },
  }));
};
