import type { Auth } from '@strangler/platform/auth/auth.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { idText, parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import type { Request, Router } from 'express';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { type SalesProjector, salesModel } from './sales-projector.ts';
import { type ModelRow, otherSide, positionOf, readModel } from './sales-tables.ts';

const day = z.iso.date('must be a day such as 2026-12-31');
const daysQuery = z.strictObject({ from: day, to: day });
/** The most rows of one answer; ask for fewer days. */
const MOST_ROWS = 10_000;

/** How often a question is asked again whose tables changed places while it was. */
const MOST_LOOKS = 5;

export type ReportRouteParts = {
  auth: Auth;
  pool: Pool;
  clock: Clock;
  /** Undefined without RabbitMQ: what is there can be read, and stands still. */
  projector: SalesProjector | undefined;
};

/** For administrators: sums over orders, from tables of their own, a moment behind the orders. */
export function addReportRoutes(routes: Router, { auth, pool, clock, projector }: ReportRouteParts): void {
  const admin = auth.requireRole('admin');

  /** What a statement selects from the tables that answer, and up to which offset of the stream they have heard. */
  const ask = async <T>(sql: (side: string) => string, values: unknown[]): Promise<{ rows: T[]; position: number }> => {
    for (let look = 1; ; look += 1) {
      const { live, rebuiltAt } = await readModel(pool, salesModel);
      const rows = await select<T>(pool, sql(live), values);
      const after = await readModel(pool, salesModel);
      const isSame = after.live === live && after.rebuiltAt?.getTime() === rebuiltAt?.getTime();
      if (isSame || look === MOST_LOOKS) return { rows, position: positionOf(after, after.live) };
    }
  };

  routes.get('/internal/reports/customers/:accountId', admin, async (req, res) => {
    const { accountId } = parseParams(z.object({ accountId: idText() }), req);
    const { rows, position } = await ask<object>(
      (side) =>
        `SELECT currency, placed, cancelled, total_cents FROM sales_customers_${side} WHERE account_id = ? ORDER BY currency`,
      [accountId],
    );
    res.set('cache-control', 'no-store').json({ account_id: accountId, position, sums: rows.map(numbers) });
  });

  routes.get('/internal/reports/product-days', admin, async (req, res) => {
    const { from, to } = parseQuery(daysQuery, req);
    const { rows, position } = await ask<object>(
      (side) =>
        `SELECT day, product_id, currency, quantity, total_cents FROM sales_days_${side}
          WHERE day BETWEEN ? AND ? ORDER BY day, product_id, currency LIMIT ${MOST_ROWS + 1}`,
      [from, to],
    );
    if (rows.length > MOST_ROWS)
      throw problems.unprocessable(`These are more than ${MOST_ROWS} rows; ask for fewer days.`);
    res.set('cache-control', 'no-store').json({ position, items: rows.map(numbers) });
  });

  routes.get('/internal/read-models/:name', admin, async (req, res) => {
    nameOf(req);
    res.set('cache-control', 'no-store').json(statusJson(await readModel(pool, salesModel), clock.now()));
  });

  routes.post('/internal/read-models/:name/rebuild', admin, async (req, res) => {
    nameOf(req);
    if (projector === undefined)
      throw problems.unavailable(60, 'Without RABBITMQ_URL there is no stream to build from.');
    if ((await projector.rebuild()) === 'running') throw problems.conflict('It is being built already.');
    res.status(202).location(`/internal/read-models/${salesModel}`);
    res.json(statusJson(await readModel(pool, salesModel), clock.now()));
  });
}

function nameOf(req: Request): void {
  if (req.params.name !== salesModel) throw problems.notFound(`There is no such read model; there is ${salesModel}.`);
}

function statusJson(row: ModelRow, now: Date) {
  const isBuilding = row.builder !== null;
  return {
    name: salesModel,
    state: !isBuilding
      ? 'live'
      : row.builderUntil !== null && row.builderUntil > now
        ? 'rebuilding'
        : 'rebuild stalled',
    position: positionOf(row, row.live),
    rebuild_position: isBuilding ? positionOf(row, otherSide(row.live)) : null,
    rebuilt_at: row.rebuiltAt?.toISOString() ?? null,
  };
}

/** Sums are decimals to the driver. */
function numbers(row: object): object {
  const sums = new Set(['quantity', 'total_cents', 'placed', 'cancelled']);
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, sums.has(name) ? Number(value) : value]));
}
