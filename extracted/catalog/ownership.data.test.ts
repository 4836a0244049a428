import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { Pool } from 'mysql2/promise';
import { startTestCatalog, type TestAnswer, type TestCatalog } from './testing/catalog.ts';

let flags: TestFlags;
let catalog: TestCatalog;
let pool: Pool;
let token: string;
let epoch = 1;

beforeAll(async () => {
  flags = await startTestFlags();
  await flags.set('service', epoch);
  catalog = await startTestCatalog('ownership', { STRANGLER_FLAGS: flags.address, FENCE_WAIT: '15s' });
  token = await catalog.issuer.token(1, 'admin');
  pool = createPool(catalog.database.url, { connectionLimit: 2 });
  await pool.query(
    'CREATE TABLE strangler_fence (slice VARCHAR(64) PRIMARY KEY, state VARCHAR(8), epoch INT UNSIGNED, owner VARCHAR(16))',
  );
  await pool.query("INSERT INTO strangler_fence VALUES ('catalog', 'open', 1, 'service')");
  for (const event of ['INSERT', 'UPDATE', 'DELETE']) {
    await pool.query(`CREATE TRIGGER fence_${event} BEFORE ${event} ON products FOR EACH ROW
      BEGIN
        IF NOT EXISTS (SELECT 1 FROM strangler_fence WHERE slice = 'catalog' AND state = 'open' LOCK IN SHARE MODE) THEN
          SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 45045, MESSAGE_TEXT = 'strangler fence: catalog epoch 9, owner monolith: closed';
        END IF;
      END`);
  }
});
afterAll(async () => {
  await pool?.end();
  await catalog?.stop();
  await flags?.stop();
});

const fence = (state: 'open' | 'closed') =>
  pool.query("UPDATE strangler_fence SET state = ? WHERE slice = 'catalog'", [state]);
const patch = (id: number, headers: Record<string, string> = {}): Promise<TestAnswer> =>
  catalog.send('PATCH', `/api/products/${id}`, {
    token,
    headers: { 'if-match': '*', ...headers },
    body: { price_cents: 4321 },
  });
beforeEach(async () => {
  await fence('open');
  epoch += 1;
  await flags.set('service', epoch);
  // The catalogue follows the flags by itself.
  await eventually(async () => {
    const { headers } = await patch(1, { 'x-strangler-epoch': '1' });
    expect(headers.get('x-strangler-stale-epoch')).toBe(`${epoch}`);
  });
});

describe('writes of the catalogue', () => {
  test('under the present epoch, or none, are done', async () => {
    expect((await patch(1, { 'x-strangler-epoch': `${epoch}` })).status).toBe(200);
    expect((await patch(2)).status).toBe(200);
  });

  test('under an epoch that is over are refused with nothing done, on every route', async () => {
    const stale = { 'x-strangler-epoch': `${epoch - 1}` };
    for (const [method, path] of [
      ['POST', '/api/products'],
      ['PUT', '/api/products/3'],
      ['PATCH', '/api/products/3'],
      ['DELETE', '/api/products/3'],
      ['POST', '/api/categories'],
      ['PUT', '/api/categories/1'],
      ['DELETE', '/api/categories/1'],
      ['POST', '/api/products/3/reviews'],
      ['DELETE', '/api/products/1/reviews/1'],
      ['PUT', '/internal/price-rules/run/rule'],
    ] as const) {
      const answer = await catalog.send(method, path, { token, headers: stale });
      expect({ path, status: answer.status, known: answer.headers.get('x-strangler-stale-epoch') }).toEqual({
        path,
        status: 409,
        known: `${epoch}`,
      });
    }
    expect((await catalog.send('GET', '/api/products/3', { headers: stale })).status).toBe(200);
  });

  test('that meet a closed fence wait until it is open, and are done once', async () => {
    const before = (await catalog.send('GET', '/api/products/4')).headers.get('etag');
    await fence('closed');
    let answered = false;
    const writing = patch(4).finally(() => {
      answered = true;
    });
    await catalog.send('GET', '/health/ready');
    expect(answered).toBe(false);
    await fence('open');
    const answer = await writing;
    expect(answer.status).toBe(200);
    expect(answer.headers.get('etag')).toMatch(/^"2-/);
    expect(before).toMatch(/^"1-/);
  });

  test('that wait while the ownership goes to the shop are given back as stale', async () => {
    await fence('closed');
    const writing = patch(5, { 'x-strangler-epoch': `${epoch}` });
    const known = epoch;
    epoch += 1;
    // Whether the guard or the fence sees it first, the answer is the same.
    await flags.set('monolith', epoch);
    const answer = await writing;
    expect({ status: answer.status, known: Number(answer.headers.get('x-strangler-stale-epoch')) > known }).toEqual({
      status: 409,
      known: true,
    });
  });

  test('are told of in the health', async () => {
    const { body } = await catalog.send('GET', '/health/ready');
    expect(body).toMatchObject({
      checks: { ownership: `ok: writes of catalog are the service’s under epoch ${epoch}` },
    });
  });
});

describe('what the shop asks for itself', () => {
  const rule = { percent: 110, price_cents_at_least: 900, price_cents_at_most: 900 };
  const path = '/internal/price-rules/night-1/nine-hundred';

  test('a price rule is applied once a run, seen at once, and known afterwards', async () => {
    expect((await catalog.send('GET', path, { token })).status).toBe(404);
    expect((await catalog.send('GET', '/api/products/9')).body).toMatchObject({ price_cents: 900 });
    const answers = await Promise.all([1, 2, 3].map(() => catalog.send('PUT', path, { token, body: rule })));
    for (const answer of answers) expect(answer).toMatchObject({ status: 200, body: { changed: 1 } });
    expect((await catalog.send('GET', '/api/products/9')).body).toMatchObject({ price_cents: 990 });
    expect((await catalog.send('GET', path, { token })).body).toEqual({
      run: 'night-1',
      rule: 'nine-hundred',
      changed: 1,
    });
  });

  test('products come as they are now, archived ones too', async () => {
    const answer = await catalog.send('GET', '/internal/products?ids=11,12,999', { token });
    expect(answer.body).toMatchObject({
      items: [
        { id: 11, active: false, archived: false },
        { id: 12, archived: true, category: { slug: 'kitchen' } },
      ],
    });
    expect((await catalog.send('GET', '/internal/products?ids=x', { token })).status).toBe(400);
  });

  test('nobody but an admin is told', async () => {
    const customer = await catalog.issuer.token(2, 'customer');
    for (const asked of ['/internal/products?ids=1', path]) {
      expect((await catalog.send('GET', asked)).status).toBe(401);
      expect((await catalog.send('GET', asked, { token: customer })).status).toBe(403);
    }
  });
});
