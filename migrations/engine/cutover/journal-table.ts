import { type CutoverJournal, cutoverJournalSchema } from '@strangler/platform/contracts/cutover-journal.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';

/** The journals of every slice's cut-overs, in the monolith's database. */
export const cutoverTable = 'strangler_cutover';

const text = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

/** What makes it, where it is not there yet. */
export const cutoverTableSql = `CREATE TABLE IF NOT EXISTS ${cutoverTable} (
  seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id VARCHAR(64) ${text} NOT NULL UNIQUE,
  slice VARCHAR(64) ${text} NOT NULL,
  outcome VARCHAR(32) ${text} NULL,
  journal LONGTEXT ${text} NOT NULL,
  changed_at DATETIME(6) NOT NULL,
  KEY by_slice (slice, seq)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`;

/** Puts a journal that is not there yet, and makes the table for it. */
export async function insertJournal(db: Queryable, journal: CutoverJournal): Promise<void> {
  await db.query(cutoverTableSql);
  await db.query(
    `INSERT INTO ${cutoverTable} (id, slice, outcome, journal, changed_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(6))`,
    [journal.id, journal.slice, journal.outcome, JSON.stringify(journal)],
  );
}

/** Puts a journal's present state in the place of the last. @throws JournalGone */
export async function updateJournal(db: Queryable, journal: CutoverJournal): Promise<void> {
  const [result] = await db.query(
    `UPDATE ${cutoverTable} SET outcome = ?, journal = ?, changed_at = UTC_TIMESTAMP(6) WHERE id = ?`,
    [journal.outcome, JSON.stringify(journal), journal.id],
  );
  if ((result as { affectedRows: number }).affectedRows === 1) return;
  throw new JournalGone(
    `${journal.slice}: expected the journal ${journal.id} in ${cutoverTable}, found it gone; somebody has deleted it: look with "strangler status ${journal.slice}"`,
  );
}

/** The journal of a cut-over that is under way was deleted. */
export class JournalGone extends Error {
  override name = 'JournalGone';
}

/** The journal of a slice's last cut-over; undefined where there was none. */
export async function readJournal(db: Queryable, slice: string): Promise<CutoverJournal | undefined> {
  return (await readJournals(db, slice, 1))[0];
}

/** The journals of a slice's cut-overs, the last first. */
export async function readJournals(db: Queryable, slice: string, limit: number): Promise<CutoverJournal[]> {
  const rows = await rowsOf<{ journal: string }>(
    db,
    `SELECT journal FROM ${cutoverTable} WHERE slice = ? ORDER BY seq DESC LIMIT ?`,
    [slice, limit],
  ).catch((error: unknown) => {
    if (isMissingTable(error)) return [];
    throw error;
  });
  return rows.map(({ journal }) => cutoverJournalSchema.parse(JSON.parse(journal)));
}

/** Forgets a slice's cut-overs, and drops the table with the last of them. */
export async function dropJournals(db: Queryable, slice: string): Promise<void> {
  try {
    await db.query(`DELETE FROM ${cutoverTable} WHERE slice = ?`, [slice]);
    const [other] = await rowsOf(db, `SELECT 1 FROM ${cutoverTable} LIMIT 1`);
    if (other === undefined) await db.query(`DROP TABLE IF EXISTS ${cutoverTable}`);
  } catch (error) {
    if (!isMissingTable(error)) throw error;
  }
}

const isMissingTable = (error: unknown): boolean => (error as { errno?: number } | null)?.errno === 1146;
