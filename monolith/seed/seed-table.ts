/** What decides every seeded row: nothing else does, not the time and not the database. */
export type SeedPlan = {
  /** Number of products; everything else follows from it. */
  size: number;
  /** Another seed gives other rows. */
  seed: number;
  /** Admin included, who is account 1. */
  accounts: number;
};

export type SqlValue = string | number | null;

/** The rows of one table. */
export type SeedTable = {
  table: string;
  columns: readonly string[];
  /** Exact. */
  rowCount(plan: SeedPlan): number;
  rows(plan: SeedPlan): Iterable<SqlValue[]>;
};

export const MIN_ACCOUNTS = 20;

/** The seeded shop opened at the first moment, and nothing in it is newer than the last. */
export const SEED_BEGIN_MS = Date.UTC(2023, 0, 1);
export const SEED_END_MS = Date.UTC(2026, 0, 1);

export function seedPlan({ size, seed }: { size: number; seed: number }): SeedPlan {
  return { size, seed, accounts: Math.max(MIN_ACCOUNTS, Math.floor(size / 2)) };
}
