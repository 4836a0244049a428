import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { runAsJob } from '@strangler/platform/http/request-context.ts';
import { QueryTypes, type Transaction } from 'sequelize';
import { runPriceJob } from './jobs/price-job.ts';
import { type Commerce, commerceOf } from './testing/commerce.ts';
import { startTestShop, type TestAccount, type TestShop } from './testing/shop.ts';
import { inTransaction } from './transaction.ts';

type Written = { product_id: number; request: string | null; traceparent: string | null };

// One connection: each statement is run by the session that has just worked for somebody else. And several, to be mixed up.
describe.each([1, 3])('with %i sessions, a write', (poolMax) => {
  let shop: TestShop;
  let commerce: Commerce;
  let admin: TestAccount;
  let productId: number;

  const run = (sql: string) => shop.deps.sequelize.query(sql);
  const written = () =>
    shop.deps.sequelize.query<Written>('SELECT product_id, request, traceparent FROM written ORDER BY id', {
      type: QueryTypes.SELECT,
    });
  const touch = (transaction: Transaction | null = null) =>
    shop.deps.models.Product.update({ price_cents: 5 }, { where: { id: productId }, transaction });
  const nobody = { request: null, traceparent: null };

  beforeAll(async () => {
    shop = await startTestShop(`writer_${poolMax}`, { DATABASE_POOL_MAX: String(poolMax), REDIS_URL: '' });
    commerce = await commerceOf(shop);
    admin = await shop.account('admin');
    await run(
      'CREATE TABLE written (id INT AUTO_INCREMENT PRIMARY KEY, product_id BIGINT, request TEXT, traceparent TEXT)',
    );
    for (const [change, row] of [
      ['INSERT ON products', 'NEW.id'],
      ['UPDATE ON products', 'NEW.id'],
      ['DELETE ON categories', 'OLD.id'],
    ]) {
      await run(`CREATE TRIGGER written_${change?.replaceAll(' ', '_')} AFTER ${change} FOR EACH ROW
        INSERT INTO written (product_id, request, traceparent) VALUES (${row}, @strangler_request, @strangler_traceparent)`);
    }
  });
  afterAll(() => shop?.stop());
  beforeEach(async () => {
    productId = await commerce.product();
    await run('DELETE FROM written');
  });

  test('by a request bears its method, path and trace; one by nobody, right after it, bears none', async () => {
    const trace = 'c'.repeat(32);
    const reviewer = await shop.account('customer');
    const path = `/api/products/${productId}/reviews`;
    await reviewer.client.post(
      path,
      { rating: 1, title: 'T', body: 'B' },
      { headers: { traceparent: `00-${trace}-${'d'.repeat(16)}-01` } },
    );
    await touch();
    await inTransaction(shop.deps.sequelize, touch);
    const [byRequest, ...others] = await written();
    expect(byRequest).toMatchObject({ product_id: productId, request: `POST ${path}` });
    expect(byRequest?.traceparent).toContain(trace);
    expect(others).toEqual([
      { product_id: productId, ...nobody },
      { product_id: productId, ...nobody },
    ]);
  });

  test('outside of any transaction bears them all the same', async () => {
    const { body } = await admin.client.post('/api/categories', { name: 'gone', slug: `gone-${poolMax}` });
    await admin.client.delete(`/api/categories/${body.id}`);
    expect(await written()).toMatchObject([{ product_id: body.id, request: `DELETE /api/categories/${body.id}` }]);
  });

  test('by the price job bears its name', async () => {
    await shop.deps.models.Product.update({ rating_count: 5, rating_average: 1 }, { where: { id: productId } });
    await run('DELETE FROM written');
    await runPriceJob({ writes: shop.deps.catalogue.writes });
    await touch();
    expect(await written()).toEqual([
      { product_id: productId, request: 'price-job', traceparent: expect.stringMatching(/^00-/) },
      { product_id: productId, ...nobody },
    ]);
  });

  test('that fails, is refused or is rolled back leaves nobody else under its name', async () => {
    const failing = runAsJob('failing', () =>
      inTransaction(shop.deps.sequelize, async () => {
        throw new Error('never mind');
      }),
    );
    await expect(failing).rejects.toThrow('never mind');
    const stale = await admin.client.patch(
      `/api/products/${productId}`,
      { price_cents: 7 },
      { headers: { 'if-match': '"stale"' } },
    );
    expect(stale.status).toBe(412);
    await touch();
    expect(await written()).toEqual([{ product_id: productId, ...nobody }]);
  });

  test('by each of many requests at once bears the name of its own', async () => {
    const products = await Promise.all(Array.from({ length: 20 }, () => commerce.product()));
    await run('DELETE FROM written');
    const patch = (id: number) =>
      admin.client.patch(`/api/products/${id}`, { price_cents: 7 }, { headers: { 'if-match': '*' } });
    const jobs = products.map((id) =>
      runAsJob(`job ${id}`, () => shop.deps.models.Product.update({ price_cents: 8 }, { where: { id } })),
    );
    await Promise.all([...products.map(patch), ...jobs]);
    const rows = await written();
    expect(rows).toHaveLength(40);
    for (const { product_id, request } of rows) {
      expect([`PATCH /api/products/${product_id}`, `job ${product_id}`]).toContain(request);
    }
  });
});

test('naming who writes costs a transaction one statement at most, and a reader none', async () => {
  const shop = await startTestShop('writer_cost', { DATABASE_POOL_MAX: '1', REDIS_URL: '' });
  try {
    const { sequelize, models } = shop.deps;
    const productId = await (await commerceOf(shop)).product();
    // Of the only session there is, the question itself included; asked as a SELECT, which sets nothing.
    const statements = async () => {
      const sql = "SHOW SESSION STATUS LIKE 'Questions'";
      const [row] = await sequelize.query<{ Value: string }>(sql, { type: QueryTypes.SELECT });
      return Number(row?.Value);
    };
    const costOf = async (work: () => Promise<unknown>) => {
      const before = await statements();
      await work();
      return (await statements()) - before - 1;
    };
    const transaction = () =>
      inTransaction(sequelize, (inner) =>
        models.Product.update({ price_cents: 9 }, { where: { id: productId }, transaction: inner }),
      );
    const read = () => models.Product.findByPk(productId);
    const byNobody = await costOf(transaction);
    expect(byNobody).toBe(4);
    await runAsJob('one', async () => {
      expect(await costOf(read)).toBe(1);
      expect(await costOf(transaction)).toBe(byNobody + 1);
      expect(await costOf(transaction)).toBe(byNobody);
    });
    await runAsJob('another', async () => {
      expect(await costOf(read)).toBe(1);
      expect(await costOf(transaction)).toBe(byNobody + 1);
    });
  } finally {
    await shop.stop();
  }
});

test('a session that is lost while it is told who writes is not kept', async () => {
  const shop = await startTestShop('writer_lost', { DATABASE_POOL_MAX: '1', REDIS_URL: '' });
  try {
    const { sequelize, models } = shop.deps;
    const [row] = await sequelize.query<{ id: number }>('SELECT CONNECTION_ID() AS id', { type: QueryTypes.SELECT });
    const write = () =>
      runAsJob('writing', () => models.SigningKey.update({ retired_at: null }, { where: { kid: 'x' } }));
    // It answers its own end with an error, and is closed.
    await expect(sequelize.query(`KILL ${row?.id}`, { type: QueryTypes.SELECT })).rejects.toThrow();
    await write().catch(() => {});
    for (let round = 0; round < 3; round += 1) await write();
  } finally {
    await shop.stop();
  }
});
