import type { CacheInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { everythingScope } from '@strangler/platform/cache/scope.ts';
import { change, isDuplicate, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Fenced } from '../fenced.ts';

const cents = z.int().min(0).max(100_000_000);
const average = z.number().min(0).max(5);

export const runName = z.string().regex(/^[A-Za-z0-9._:-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 . _ : -');

/** Products by their ratings and prices, and what becomes of these prices: `percent` of the present one, rounded. */
export const priceRule = z.strictObject({
  percent: z.int().min(1).max(1000),
  rating_count_at_least: z.int().min(0).max(1_000_000_000).optional(),
  rating_average_at_least: average.optional(),
  rating_average_below: average.optional(),
  price_cents_at_least: cents.optional(),
  price_cents_at_most: cents.optional(),
});

export type PriceRule = z.infer<typeof priceRule>;

/** A rule as it was applied in a run. */
export type PriceRuleRun = { run: string; rule: string; changed: number };

/** Changes prices in bulk. Returns after the cache has been told. */
export type PriceRules = {
  /** Applies the rule once a run: sent again, it changes nothing and tells how many it had changed. */
  apply(id: { run: string; rule: string }, rule: PriceRule): Promise<PriceRuleRun>;
  /** Undefined where this run has not applied the rule. */
  find(id: { run: string; rule: string }): Promise<PriceRuleRun | undefined>;
};

/** Runs are remembered for 30 days. */
const KEPT_MS = 30 * 24 * 3_600_000;

const conditions: Record<Exclude<keyof PriceRule, 'percent'>, string> = {
  rating_count_at_least: 'rating_count >= ?',
  rating_average_at_least: 'rating_average >= ?',
  rating_average_below: 'rating_average < ?',
  price_cents_at_least: 'price_cents >= ?',
  price_cents_at_most: 'price_cents <= ?',
};

export function createPriceRules({
  pool,
  invalidation,
  fenced,
  events,
  clock,
}: {
  pool: Pool;
  invalidation: CacheInvalidation;
  fenced: Fenced;
  events: EventRecorder;
  clock: Clock;
}): PriceRules {
  const find: PriceRules['find'] = async ({ run, rule }) => {
    const sql = 'SELECT run, rule, changed FROM price_rule_runs WHERE run = ? AND rule = ?';
    const [found] = await select<PriceRuleRun>(pool, sql, [run, rule]);
    return found && { run: found.run, rule: found.rule, changed: found.changed };
  };

  const applyOnce = ({ run, rule }: { run: string; rule: string }, { percent, ...bounds }: PriceRule) =>
    withTransaction(pool, 'READ COMMITTED', async (connection) => {
      const now = clock.now();
      const written = 'INSERT INTO price_rule_runs (run, rule, changed, applied_at) VALUES (?, ?, 0, ?)';
      await change(connection, written, [run, rule, now]);
      const given = Object.entries(bounds).filter(([, bound]) => bound !== undefined);
      const where = given.map(([name]) => ` AND ${conditions[name as keyof typeof conditions]}`).join('');
      const { found: changed } = await change(
        connection,
        `UPDATE products SET price_cents = ROUND(price_cents * ? / 100), version = version + 1, updated_at = ?
          WHERE archived_at IS NULL${where}`,
        [percent, now, ...given.map(([, bound]) => bound)],
      );
      const told = 'UPDATE price_rule_runs SET changed = ? WHERE run = ? AND rule = ?';
      await change(connection, told, [changed, run, rule]);
      const data = { run, rule, percent, changed, occurred_at: now.toISOString() };
      await events.record('prices.changed', data, connection);
      return { run, rule, changed };
    });

  return {
    find,
    async apply(id, rule) {
      const before = await find(id);
      if (before) return before;
      const applied = await fenced(() =>
        invalidation
          .around([everythingScope], () => applyOnce(id, rule))
          .catch((error: unknown) => {
            if (!isDuplicate(error)) throw error;
            // The same run was sent twice, and the other has committed.
            return find(id);
          }),
      );
      await change(pool, 'DELETE FROM price_rule_runs WHERE applied_at < ?', [
        new Date(clock.now().getTime() - KEPT_MS),
      ]);
      if (!applied) throw new Error(`price rule ${id.rule} of run ${id.run} was applied by another and is not there`);
      return applied;
    },
  };
}
