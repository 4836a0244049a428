import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { dryRunMediaType, parseDryRunAnswer } from '@strangler/platform/contracts/dry-run.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import type { RowDataPacket } from 'mysql2/promise';
import { installFence, setFence } from '../testing/fence.ts';
import { type SendOptions, startTestInventory, type TestInventory } from '../testing/inventory.ts';

let flags: TestFlags;
let inventory: TestInventory;
let admin: string;
let customer: string;
let stocked: number;
let bare: number;

beforeAll(async () => {
  flags = await startTestFlags('inventory');
  await flags.set('monolith', 3, 'canary');
  inventory = await startTestInventory('dry', { STRANGLER_FLAGS: flags.address, FENCE_WAIT: '15s' });
  [admin, customer] = await Promise.all([inventory.issuer.token(1, 'admin'), inventory.issuer.token(2, 'customer')]);
  [stocked, bare] = [await inventory.product(5), await inventory.product()];
});
afterAll(async () => {
  await inventory?.stop();
  await flags?.stop();
});

/** Everything that is in the database, row by row. */
async function everything(): Promise<Record<string, unknown[]>> {
  const [tables] = await inventory.db.query<RowDataPacket[]>(
    "SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1",
  );
  const all: Record<string, unknown[]> = {};
  for (const { name } of tables) {
    const [rows] = await inventory.db.query<RowDataPacket[]>('SELECT * FROM ??', [name]);
    all[name] = rows.map((row) => JSON.stringify(row)).sort();
  }
  return all;
}

async function dryRun(method: string, path: string, { headers = {}, ...options }: SendOptions = {}) {
  const sent = await inventory.send(method, path, { ...options, headers: { 'x-strangler-dry-run': '1', ...headers } });
  const told = sent.headers.get('content-type') === dryRunMediaType ? parseDryRunAnswer(sent.text) : undefined;
  const text = Buffer.from(told?.answer.bodyBase64 ?? '', 'base64').toString('utf8');
  return { sent, told, body: text === '' ? undefined : JSON.parse(text), events: told?.effects.events ?? [] };
}

const body = { delta: 2, reason: 'counted' };
const path = (productId: number) => `/api/inventory/${productId}/adjustments`;
const changed = ['stock.changed'];
const requests = (): [number, string, SendOptions, string[]][] => [
  [201, path(stocked), { token: admin, body }, changed],
  [201, path(bare), { token: admin, body }, changed],
  [201, path(stocked), { token: admin, body, headers: { 'if-match': '*' } }, changed],
  [400, path(stocked), { token: admin, body: {} }, []],
  [401, path(stocked), { body }, []],
  [403, path(stocked), { token: customer, body }, []],
  [404, path(999), { token: admin, body }, []],
  [409, path(stocked), { token: admin, body: { ...body, delta: -6 } }, []],
  [409, path(bare), { token: admin, body: { ...body, delta: -6 } }, []],
  [412, path(stocked), { token: admin, body, headers: { 'if-match': '"x"' } }, []],
];

describe.each([
  ['without a fence', async () => {}],
  [
    'with its tables fenced',
    async () => {
      await installFence(inventory.db);
      await setFence(inventory.db, 'closed');
    },
  ],
] as const)('a dry run, %s,', (_name, prepare) => {
  beforeAll(prepare);
  let before: Awaited<ReturnType<typeof everything>>;
  beforeEach(async () => {
    before = await everything();
  });
  afterEach(async () => {
    expect(await everything()).toEqual(before);
  });

  test('answers as the request would be, and leaves nothing', async () => {
    for (const [status, at, options, types] of requests()) {
      const { sent, told, events } = await dryRun('POST', at, options);
      const found = { at, sent: sent.status, status: told?.answer.status, types: events.map(({ type }) => type) };
      expect(found).toEqual({ at, sent: 200, status, types });
    }
  });

  test('shows the whole answer', async () => {
    const { body: shown, events } = await dryRun('POST', path(stocked), { token: admin, body });
    expect(shown).toMatchObject({
      adjustment: { product_id: stocked, delta: 2, reason: 'counted', account_id: 1, order_id: null },
      stock: { product_id: stocked, available: 7, version: 2 },
    });
    expect(events).toEqual([
      {
        type: 'stock.changed',
        key: `${stocked}`,
        payload: { product_id: stocked, available: 7, version: 2, occurred_at: shown.stock.updated_at },
      },
    ]);
  });
});

test('what cannot be done and undone is refused with 501', async () => {
  expect((await dryRun('POST', '/nothing/here')).sent.status).toBe(501);
  expect((await inventory.send('GET', '/.well-known/strangler-dry-run')).body).toEqual({ dryRun: true });
});
