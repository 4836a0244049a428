import { runAsJob } from '@strangler/platform/http/request-context.ts';
import type { Log } from '@strangler/platform/log.ts';
import { QueryTypes, type Sequelize } from 'sequelize';
import type { Clock } from '../clock.ts';

/** A rule by which prices change overnight. Percentages are of the present price; 100 leaves it as it is. */
export type PriceRule = {
  name: string;
  percent: number;
  /** SQL over the columns of `products p`, written by us and never by a client. */
  where: string;
};

/** What the shop has agreed on: what lies about gets cheaper, what is praised gets dearer. Never below one euro. */
export const nightlyRules: PriceRule[] = [
  {
    name: 'clearance',
    percent: 90,
    where: 'p.rating_count >= 3 AND p.rating_average < 2 AND p.price_cents >= 112',
  },
  {
    name: 'favourites',
    percent: 103,
    where: 'p.rating_count >= 10 AND p.rating_average >= 4.5 AND p.price_cents BETWEEN 100 AND 90000000',
  },
];

/** Rows changed by each rule. */
export type PriceJobResult = { rule: string; changed: number }[];

/**
 * Changes prices by rule, with one UPDATE a rule straight on the table: nothing of the API has a part in it. Each row's
 * version grows, as with every change of a product.
 */
export async function runPriceJob({
  sequelize,
  now,
  rules = nightlyRules,
}: {
  sequelize: Sequelize;
  now: Date;
  rules?: PriceRule[];
}): Promise<PriceJobResult> {
  return runAsJob('price-job', async () => {
    const result: PriceJobResult = [];
    for (const rule of rules) {
      const [, changed] = await sequelize.query(
        `UPDATE products p
            SET p.price_cents = ROUND(p.price_cents * :percent / 100), p.version = p.version + 1, p.updated_at = :now
          WHERE p.archived_at IS NULL AND ${rule.where}`,
        { type: QueryTypes.UPDATE, replacements: { percent: rule.percent, now } },
      );
      result.push({ rule: rule.name, changed });
    }
    return result;
  });
}

export type Schedule = { stop(): Promise<void> };

/** Runs the price job each day at `at` (`HH:MM`, UTC); does nothing when `at` is undefined. */
export function schedulePriceJob({
  at,
  sequelize,
  clock,
  log,
}: {
  at: string | undefined;
  sequelize: Sequelize;
  clock: Clock;
  log: Log;
}): Schedule {
  if (at === undefined) return { stop: async () => {} };
  let timer: NodeJS.Timeout;
  let running: Promise<void> = Promise.resolve();

  const plan = () => {
    timer = setTimeout(
      () => {
        running = run().finally(plan);
      },
      msUntil(at, clock.now()),
    );
    timer.unref();
  };
  const run = async () => {
    try {
      const result = await runPriceJob({ sequelize, now: clock.now() });
      log.info({ result }, 'the price job has run');
    } catch (error) {
      log.error({ err: error }, 'the price job failed; it runs again tomorrow');
    }
  };

  plan();
  return {
    stop: async () => {
      clearTimeout(timer);
      await running;
      clearTimeout(timer);
    },
  };
}

/** Milliseconds from `now` until it is next `at` (`HH:MM`, UTC); a whole day when it is that very moment. */
export function msUntil(at: string, now: Date): number {
  const [hours = 0, minutes = 0] = at.split(':').map(Number);
  const next = new Date(now);
  next.setUTCHours(hours, minutes, 0, 0);
  if (next <= now) next.setUTCDate(next.getUTCDate() + 1);
  return next.getTime() - now.getTime();
}
