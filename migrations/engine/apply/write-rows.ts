import type { Connection } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';
import { affectedBy } from './own-tables.ts';
import { keyTextsOf, type MappedTable, type RowChange, RowShapeError, slotTexts } from './row-shape.ts';
import { type RowStatements, rowStatements } from './row-statements.ts';
import { faultOf } from './sql-errors.ts';

/** What became of a change that was newer than what the target had. */
export type WriteOutcome =
  | { change: RowChange; kind: 'written' }
  /** A copied row that the target has already. */
  | { change: RowChange; kind: 'present' }
  /** Another row has a unique value of this one. */
  | { change: RowChange; kind: 'clash'; uniqueKey: string }
  | { change: RowChange; kind: 'refused'; reason: string };

/** A row with its texts, as the statements take it. */
type TextRow = { change: RowChange; texts: readonly (string | null)[] };

/** Writes rows of one table. Its methods run in the caller's transaction; what they throw calls for a roll-back. */
export type RowWriter = {
  readonly table: MappedTable;
  readonly statements: RowStatements;
  /**
   * Writes changes that are newer than what the target has: deletes, updates, then additions, each as one statement
   * unless a row stands in the way; then by halves, until the row is alone.
   * Version (0, 0) is a copied row: it is added where it is not there, and never written over another.
   */
  write(connection: Connection, changes: readonly RowChange[]): Promise<WriteOutcome[]>;
  /**
   * Writes changes that clash with each other, such as two rows that swapped a unique value: takes their rows away and
   * adds them anew, as many as go together. What is left over is as it was, and is told as `clash`.
   */
  rewrite(connection: Connection, changes: readonly RowChange[]): Promise<WriteOutcome[]>;
};

export function createRowWriter(table: MappedTable): RowWriter {
  const { mapping } = table;
  const statements = rowStatements(table);

  async function write(connection: Connection, changes: readonly RowChange[]): Promise<WriteOutcome[]> {
    const deletes = changes.filter(({ op }) => op === 'delete');
    const { rows, refused } = textRows(changes.filter(({ op }) => op === 'upsert'));
    const outcomes: WriteOutcome[] = refused;
    if (deletes.length > 0) {
      await connection.query(statements.delete, [json(deletes.map((change) => keyTextsOf(mapping, change)))]);
      for (const change of deletes) outcomes.push({ change, kind: 'written' });
    }
    const copied = rows.filter(({ change }) => isCopied(change));
    const captured = rows.filter(({ change }) => !isCopied(change));
    if (captured.length > 0) outcomes.push(...(await byHalves(connection, captured, upsert)));
    if (copied.length > 0) outcomes.push(...(await byHalves(connection, copied, add)));
    return outcomes;
  }

  async function rewrite(connection: Connection, changes: readonly RowChange[]): Promise<WriteOutcome[]> {
    const clashed: WriteOutcome[] = [];
    let { rows, refused } = textRows(changes);
    for (;;) {
      await connection.query('SAVEPOINT strangler_rewrite');
      const outcomes = await removeAndAdd(connection, rows);
      const failed = outcomes.filter(({ kind }) => kind === 'clash' || kind === 'refused');
      if (failed.length === 0) {
        await connection.query('RELEASE SAVEPOINT strangler_rewrite');
        return [...refused, ...clashed, ...outcomes];
      }
      // A row that cannot be added must be there as it was, and may then stand in the way of others.
      await connection.query('ROLLBACK TO SAVEPOINT strangler_rewrite');
      for (const outcome of failed) (outcome.kind === 'clash' ? clashed : refused).push(outcome);
      const out = new Set(failed.map(({ change }) => change));
      rows = rows.filter(({ change }) => !out.has(change));
      if (rows.length === 0) return [...refused, ...clashed];
    }
  }

  async function removeAndAdd(connection: Connection, rows: readonly TextRow[]): Promise<WriteOutcome[]> {
    const keys = json(rows.map(({ change }) => keyTextsOf(mapping, change)));
    const kept = statements.unmapped
      ? await rowsOf<Record<string, string | null>>(connection, statements.unmapped.read, [keys])
      : [];
    await connection.query(statements.delete, [keys]);
    const outcomes = await byHalves(connection, rows, add);
    if (statements.unmapped && kept.length > 0) {
      await connection.query(statements.unmapped.restore, [json(kept.map((row) => Object.values(row)))]);
    }
    return outcomes;
  }

  function textRows(changes: readonly RowChange[]): { rows: TextRow[]; refused: WriteOutcome[] } {
    const rows: TextRow[] = [];
    const refused: WriteOutcome[] = [];
    for (const change of changes) {
      try {
        rows.push({ change, texts: slotTexts(mapping, statements.shape, change) });
      } catch (error) {
        const reason =
          error instanceof RowShapeError ? error.message : `the transform of ${mapping.source} failed: ${error}`;
        refused.push({ change, kind: 'refused', reason });
      }
    }
    return { rows, refused };
  }

  async function upsert(connection: Connection, rows: readonly TextRow[]): Promise<WriteOutcome[]> {
    const values = [json(rows.map(({ texts }) => texts))];
    // Where the driver counts changed rows and not found ones, this is too low: the insert then adds nothing.
    const found = await affectedBy(connection, statements.update, values);
    if (found < rows.length) await connection.query(statements.insert, values);
    return rows.map(({ change }) => ({ change, kind: 'written' }));
  }

  async function add(connection: Connection, rows: readonly TextRow[]): Promise<WriteOutcome[]> {
    const added = await affectedBy(connection, statements.insert, [json(rows.map(({ texts }) => texts))]);
    if (added === rows.length) return rows.map(({ change }) => ({ change, kind: 'written' }));
    if (added === 0) return rows.map(({ change }) => ({ change, kind: 'present' }));
    // Which of them were there already does not matter to the target, only to the count.
    return rows.map(({ change }, index) => ({ change, kind: index < added ? 'written' : 'present' }));
  }

  return { table, statements, write, rewrite };
}

/** Runs `attempt` on all rows at once; where one of them is at fault, on each half in turn. */
async function byHalves(
  connection: Connection,
  rows: readonly TextRow[],
  attempt: (connection: Connection, rows: readonly TextRow[]) => Promise<WriteOutcome[]>,
): Promise<WriteOutcome[]> {
  try {
    return await attempt(connection, rows);
  } catch (error) {
    const fault = faultOf(error);
    if (fault.kind === 'other') throw error;
    if (rows.length === 1) {
      const { change } = rows[0] as TextRow;
      return [{ change, ...fault }];
    }
  }
  const middle = Math.ceil(rows.length / 2);
  const first = await byHalves(connection, rows.slice(0, middle), attempt);
  return [...first, ...(await byHalves(connection, rows.slice(middle), attempt))];
}

export const isCopied = ({ version }: RowChange): boolean => version.epoch === 0 && version.id === '0';

const json = (rows: readonly (readonly (string | null)[])[]): string => JSON.stringify(rows);
