import type { Effects } from '@strangler/platform/compare/answer.ts';
import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import type { MappedTable } from '../../engine/apply/row-shape.ts';
import type { PipeDatabases } from '../../engine/pipe/open-databases.ts';
import { keyTextSql } from '../../engine/row/key-text.ts';
import { quoteName } from '../../engine/schema/identifiers.ts';
import { rowsOf } from '../../engine/schema/queryable.ts';
import { columnOf } from '../../engine/schema/table-schema.ts';
import { sourceTexts, targetTexts } from '../../engine/verify/digest.ts';
import { createSourceSide, createTargetSide } from '../../engine/verify/side.ts';
import type { Observer } from './observer.ts';

const noSuchTable = 1146;
const everyRow = { after: null, upTo: null };

/** Rows of one table that are compared one by one; of a larger one only that it differs is told. */
const mostRows = 5_000;

/** Differing rows of one table that are told. */
const mostTold = 5;

/**
 * Looks into both databases, which nobody but the two sides may write to: at the rows of the slice's tables, by the mapping of
 * the slice file, and at the domain events in both outboxes. Ids must be the same on both sides, as they are when both begin with
 * the same rows and the same next ids.
 */
export async function observeDatabases(pipe: PipeDatabases): Promise<Observer> {
  const tables = (await pipe.tables()).filter(
    ({ mapping }) => !pipe.slice.tables.some(({ source, reference }) => reference && source === mapping.source),
  );
  const [left, right] = [eventsOf(pipe.source.read), eventsOf(pipe.target.read)];
  const compared = tables.map((table) => compareTable(table, pipe));
  return {
    async begin() {
      await Promise.all([left.begin(), right.begin()]);
    },
    events: () => Promise.all([left.next(), right.next()]),
    rows: async () => (await Promise.all(compared.map((compare) => compare()))).flat(),
  };
}

/** The events of one outbox, as they come. A side without an outbox tells none. */
function eventsOf(db: Pool): { begin(): Promise<void>; next(): Promise<Effects | null> } {
  let after: bigint | null = null;
  return {
    async begin() {
      try {
        const [row] = await rowsOf<{ id: string }>(
          db,
          `SELECT CAST(COALESCE(MAX(id), 0) AS CHAR) AS id FROM ${outboxTable}`,
        );
        after = BigInt(row?.id ?? 0);
      } catch (error) {
        if ((error as { errno?: unknown }).errno !== noSuchTable) throw error;
        after = null;
      }
    },
    async next() {
      if (after === null) return null;
      const rows = await rowsOf<{ id: string; payload: string }>(
        db,
        `SELECT CAST(id AS CHAR) AS id, payload FROM ${outboxTable} WHERE kind = 'event' AND id > ? ORDER BY id LIMIT 1000`,
        [after.toString()],
      );
      after = rows.reduce((last, { id }) => (BigInt(id) > last ? BigInt(id) : last), after);
      return {
        events: rows.map(({ payload }) => {
          const { type, key, data } = JSON.parse(payload) as { type: string; key: string; data: unknown };
          return { type, key, payload: data };
        }),
      };
    },
  };
}

function compareTable(table: MappedTable, pipe: PipeDatabases): () => Promise<Difference[]> {
  const [source, target] = [createSourceSide(table, pipe.source.read), createTargetSide(table, pipe.target.read)];
  const [here, there] = [sourceRows(table, pipe.source.read), targetRows(table, pipe.target.read)];
  const name = table.mapping.target;
  return async () => {
    const [one, other] = await Promise.all([source.sum(everyRow), target.sum(everyRow)]);
    if (one.rows === other.rows && one.sum === other.sum) return [];
    if (Math.max(one.rows, other.rows) > mostRows) {
      const shown = { kind: 'value', monolith: one, service: other } as const;
      return [{ path: `row ${name}`, at: `row ${name}`, ...shown }];
    }
    return differingRows(table, await here(), await there()).slice(0, mostTold);
  };
}

type Rows = Map<string, (string | null)[]>;

function differingRows({ mapping }: MappedTable, here: Rows, there: Rows): Difference[] {
  const name = mapping.target;
  const found: Difference[] = [];
  for (const [key, texts] of here) {
    const other = there.get(key);
    there.delete(key);
    if (other === undefined) {
      found.push({
        path: `row ${name}`,
        at: `row ${name} ${key}`,
        kind: 'missing',
        monolith: texts,
        service: undefined,
      });
      continue;
    }
    for (const [at, { target: column, from }] of mapping.columns.entries()) {
      if (from === 'transform' || texts[at] === other[at]) continue;
      const place = { path: `row ${name}.${column}`, at: `row ${name} ${key} ${column}` };
      found.push({ ...place, kind: 'value', monolith: texts[at], service: other[at] });
    }
  }
  for (const [key, texts] of there) {
    found.push({ path: `row ${name}`, at: `row ${name} ${key}`, kind: 'extra', monolith: undefined, service: texts });
  }
  return found;
}

function sourceRows(table: MappedTable, db: Pool): () => Promise<Rows> {
  const { source, sourceDialect } = table;
  const texts = sourceTexts(table).map((text) => text ?? 'NULL');
  return readRows(db, `${keyTextSql(source, sourceDialect, 's.')}`, texts, `${quoteName(source.name)} AS s`);
}

function targetRows(table: MappedTable, db: Pool): () => Promise<Rows> {
  const { mapping, source, target, targetDialect } = table;
  // Keys are named as the source has them.
  const keyed = {
    ...source,
    primaryKey: mapping.targetKey,
    columns: mapping.key.map((name, at) => ({ ...columnOf(source, name), name: mapping.targetKey[at] as string })),
  };
  return readRows(db, keyTextSql(keyed, targetDialect, 't.'), targetTexts(table), `${quoteName(target.name)} AS t`);
}

function readRows(db: Pool, key: string, texts: readonly string[], from: string): () => Promise<Rows> {
  const read = [key, ...texts].map((sql, at) => `${sql} AS c${at}`).join(', ');
  return async () => {
    const sql = `SELECT ${read} FROM ${from} LIMIT ${mostRows}`;
    const [found] = await db.query({ sql, rowsAsArray: true });
    return new Map((found as unknown as (string | null)[][]).map(([name, ...rest]) => [name as string, rest]));
  };
}
