import { randomUUID } from 'node:crypto';
import { runAsJob } from '@strangler/platform/http/request-context.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Clock } from '../clock.ts';
import type { CatalogueWrites } from '../modules/catalogue/owner/catalogue-writes.ts';
import type { PriceRule } from '../modules/catalogue/price-rule.ts';

/** What the shop has agreed on: what lies about gets cheaper, what is praised gets dearer. Never below one euro. */
export const nightlyRules: PriceRule[] = [
  { name: 'clearance', percent: 90, ratingCountAtLeast: 3, ratingAverageBelow: 2, priceCentsAtLeast: 112 },
  {
    name: 'favourites',
    percent: 103,
    ratingCountAtLeast: 10,
    ratingAverageAtLeast: 4.5,
    priceCentsAtLeast: 100,
    priceCentsAtMost: 90_000_000,
  },
];

/** Rows changed by each rule. */
export type PriceJobResult = { rule: string; changed: number }[];

/**
 * Changes prices by rule, one rule after another, wherever the products are: a rule is applied wholly on one side, and once.
 * Nothing of the API has a part in it. Each product's version grows, as with every change.
 */
export async function runPriceJob({
  writes,
  rules = nightlyRules,
}: {
  writes: Pick<CatalogueWrites, 'applyPriceRule'>;
  rules?: PriceRule[];
}): Promise<PriceJobResult> {
  return runAsJob('price-job', async () => {
    const run = randomUUID();
    const result: PriceJobResult = [];
    for (const rule of rules) result.push({ rule: rule.name, changed: await writes.applyPriceRule(run, rule) });
    return result;
  });
}

export type Schedule = { stop(): Promise<void> };

/** Runs the price job each day at `at` (`HH:MM`, UTC); does nothing when `at` is undefined. */
export function schedulePriceJob({
  at,
  writes,
  clock,
  log,
}: {
  at: string | undefined;
  writes: Pick<CatalogueWrites, 'applyPriceRule'>;
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
      const result = await runPriceJob({ writes });
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
