import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { planFence } from '@strangler/migrations/engine/fence/fence-plan.ts';
import { installFence } from '@strangler/migrations/engine/fence/install-fence.ts';
import { closeFence } from '@strangler/migrations/engine/fence/move-fence.ts';
import { comparedAnswer, headerOf, type SentRequest, type SideAnswer } from '@strangler/migrations/http/side.ts';
import { rulesFor } from '@strangler/migrations/parity/compare-step.ts';
import { describeDifferences } from '@strangler/migrations/parity/describe.ts';
import { compareAnswers } from '@strangler/platform/compare/compare-answers.ts';
import {
  decodeEffects,
  dryRunHeader,
  effectsHeader,
  parseDryRunAnswer,
  type ToldEffects,
  tellEffectsHeader,
} from '@strangler/platform/contracts/dry-run.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { openCatalogPipe } from './fill-catalogue.ts';
import { type FuzzPair, startFuzzPair } from './fuzz-pair.ts';

let two: FuzzPair;
let own: Pool;
/** Sees every database of the server. */
let server: Pool;

/** The catalogue's tables belong to the monolith, as at the stages shadow and canary after a way back: its fence is closed. */
beforeAll(async () => {
  two = await startFuzzPair('dryrun');
  const { shop, own: database } = two.pair.databases;
  own = createPool(database.url, { connectionLimit: 2 });
  server = createPool(database.adminUrl, { connectionLimit: 2 });
  const pipe = await openCatalogPipe({ sourceUrl: shop.adminUrl, targetUrl: database.adminUrl });
  const tables = (await pipe.tables()).filter(({ mapping }) => mapping.source !== 'accounts');
  await pipe.close();
  const plans = tables.map(({ target }) => planFence({ slice: 'catalog', table: target }));
  const initially = { state: 'open', epoch: 1, owner: 'monolith' } as const;
  await installFence(server, { slice: 'catalog', database: database.name, initially, plans });
}, 300_000);
afterAll(async () => {
  for (const pool of [own, server]) await pool?.end();
  await two?.stop();
});

const close = () => closeFence(server, { slice: 'catalog', epoch: 2, owner: 'monolith', reason: 'test' } as never);

async function everything(): Promise<Record<string, string[]>> {
  const [tables] = await own.query<RowDataPacket[]>("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'");
  const all: Record<string, string[]> = {};
  for (const row of tables) {
    const name = String(Object.values(row)[0]);
    const [rows] = await own.query<RowDataPacket[]>('SELECT * FROM ??', [name]);
    all[name] = rows.map((one) => JSON.stringify(one)).sort();
  }
  return all;
}

const star = { 'if-match': '*' };
const json = { 'content-type': 'application/json' };
const request = (
  method: string,
  path: string,
  as: string,
  body?: unknown,
  headers: Record<string, string> = {},
): SentRequest => ({
  method,
  path,
  headers: {
    authorization: `Bearer ${two.running.tokens[as]}`,
    ...(body === undefined ? {} : json),
    ...headers,
  },
  body: body === undefined ? null : JSON.stringify(body),
});
const whole = { sku: 'DRY-1', name: 'Dry', category_id: 9, price_cents: 100 };
const requests: (() => SentRequest)[] = [
  () => request('POST', '/api/products', 'admin', whole),
  () => request('POST', '/api/products', 'admin', { ...whole, price_cents: 'x', extra: 1 }),
  () => request('POST', '/api/products', 'customer', whole),
  () => request('PUT', '/api/products/3', 'admin', whole, star),
  () => request('PATCH', '/api/products/3', 'admin', { active: false, attributes: { a: 1 } }, star),
  () => request('PATCH', '/api/products/3', 'admin', {}, { 'if-match': '"1-0"' }),
  () => request('PATCH', '/api/products/3', 'admin', {}),
  () => request('DELETE', '/api/products/3', 'admin', undefined, star),
  () => request('POST', '/api/categories', 'admin', { name: 'Dry', slug: 'dry', parent_id: 1 }),
  () => request('PUT', '/api/categories/9', 'admin', { name: 'Dry', slug: 'dry' }),
  () => request('DELETE', '/api/categories/9', 'admin'),
  () => request('POST', '/api/products/5/reviews', 'third', { rating: 2, title: 'T', body: 'B' }),
  () => request('DELETE', '/api/products/1/reviews/1', 'admin'),
];

describe('with the real fence closed before its tables', () => {
  beforeAll(close);
  beforeEach(() => two.plant(null));

  test('a dry run says what the monolith then does, answer and events, and leaves nothing', async () => {
    const [monolith, catalog] = two.running.sides;
    const before = await everything();
    for (const make of requests) {
      const sent = make();
      const dry = await catalog.send({ ...sent, headers: { ...sent.headers, [dryRunHeader]: '1' } });
      const told = parseDryRunAnswer(dry.bytes.toString('utf8'));
      if (told === undefined) throw new Error(`${sent.method} ${sent.path}: ${dry.status} ${dry.bytes.toString()}`);
      expect(await everything()).toEqual(before);
      const live = await monolith.send({ ...sent, headers: { ...sent.headers, [tellEffectsHeader]: '1' } });
      const liveEffects = decodeEffects(headerOf(live, effectsHeader)) ?? null;
      expect({ path: sent.path, told: liveEffects === null ? 'nothing' : 'events' }).toEqual({
        path: sent.path,
        told: 'events',
      });
      const { differences } = compareAnswers(
        comparedAnswer(live, liveEffects),
        comparedAnswer(unwrapped(told.answer), told.effects as ToldEffects),
        rulesFor(two.running.rules, sent),
      );
      expect(`${sent.method} ${sent.path}\n${describeDifferences(differences)}`).toBe(`${sent.method} ${sent.path}\n`);
      // The monolith has done it: the next one begins with the same data again, as far as it is concerned.
      await restoreShop();
    }
  }, 180_000);

  test('a process that is killed in the middle of a dry run leaves nothing', async () => {
    const before = await everything();
    const [, catalog] = two.running.sides;
    const blocker = await own.getConnection();
    await blocker.query('START TRANSACTION');
    await blocker.query('SELECT id FROM products WHERE id = 3 FOR UPDATE');
    // It has locked its categories and waits for the product.
    const sent = request('PATCH', '/api/products/3', 'admin', { price_cents: 1 }, { ...star, [dryRunHeader]: '1' });
    const lost = catalog.send(sent).then(
      () => 'answered',
      () => 'lost',
    );
    const { name } = two.pair.databases.own;
    const waiting = async () => {
      const [found] = await server.query<RowDataPacket[]>(
        "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE DB = ? AND COMMAND = 'Query' AND INFO LIKE 'SELECT id FROM products%'",
        [name],
      );
      return found.length > 0;
    };
    await eventually(waiting);
    await two.pair.catalog.stop('SIGKILL');
    expect(await lost).toBe('lost');
    await blocker.query('ROLLBACK');
    blocker.release();
    await eventually(async () => {
      const [open] = await server.query<RowDataPacket[]>(
        'SELECT 1 FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE p.DB = ?',
        [name],
      );
      return open.length === 0;
    });
    const [prepared] = await server.query<RowDataPacket[]>('XA RECOVER').catch(() => [[]] as never);
    expect(prepared).toEqual([]);
    expect(await everything()).toEqual(before);
  }, 180_000);
});

function unwrapped({
  status,
  headers,
  bodyBase64,
}: {
  status: number;
  headers: [string, string][];
  bodyBase64: string;
}): SideAnswer {
  const bytes = Buffer.from(bodyBase64, 'base64');
  return { status, headers, bytes, isWhole: true, json: undefined, latencyMs: 0 };
}

/** Only the monolith's side: the other's fence is closed. */
async function restoreShop(): Promise<void> {
  await two.pair.data.restoreMonolith();
}
