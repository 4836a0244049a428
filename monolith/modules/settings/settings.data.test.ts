import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { countStatements } from '@strangler/platform/mysql/sequelize.ts';
import { freePort } from '@strangler/platform/testing/servers.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';

const cases: [string, () => Promise<NodeJS.ProcessEnv>][] = [
  ['with Redis', async () => ({})],
  ['without Redis', async () => ({ REDIS_URL: '' })],
  ['with a Redis that is away', async () => ({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` })],
];

describe.each(cases)('settings, %s', (_name, env) => {
  let shop: TestShop;
  let admin: TestAccount;

  beforeAll(async () => {
    shop = await startTestShop('settings', await env());
    admin = await shop.account('admin');
  });

  afterAll(() => shop?.stop());

  const read = async (key: string) =>
    (await shop.client.get('/api/settings')).body.items.find((item: { key: string }) => item.key === key)?.value;

  test.each([['text'], [5], [true], [null], [['a', { b: 1 }]], [{ deep: { er: [] } }]])(
    'a value is read back as it was put: %j',
    async (value) => {
      const { status, body } = await admin.client.put('/api/settings/shop.value', { value });
      expect(status).toBe(200);
      expect(body).toMatchObject({ key: 'shop.value', value });
      expect(await read('shop.value')).toEqual(value);
    },
  );

  test('a change is seen by the very next reader, every time', async () => {
    for (let at = 0; at < 20; at++) {
      await admin.client.put('/api/settings/counter', { value: at });
      const seen = await Promise.all([read('counter'), read('counter'), read('counter')]);
      expect(seen).toEqual([at, at, at]);
    }
  });

  test('only admins change them, and only to what is valid', async () => {
    const customer = await shop.account('customer');
    expect((await customer.client.put('/api/settings/x', { value: 1 })).status).toBe(403);
    expect((await shop.client.put('/api/settings/x', { value: 1 })).status).toBe(401);
    expect((await admin.client.put('/api/settings/X', { value: 1 })).status).toBe(400);
    expect((await admin.client.put('/api/settings/x', {})).status).toBe(400);
    expect((await admin.client.put('/api/settings/x', { value: 'x'.repeat(10_001) })).status).toBe(400);
  });
});

test('with Redis, what was read once is read again without the database', async () => {
  const shop = await startTestShop('settings_cache');
  try {
    await shop.client.get('/api/settings');
    const { statements } = await countStatements(shop.database.sequelize, () => shop.client.get('/api/settings'));
    expect(statements).toEqual([]);
  } finally {
    await shop.stop();
  }
});
