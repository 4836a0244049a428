import { sideAt } from '@strangler/migrations/http/side.ts';
import { rulesOfSlice } from '@strangler/migrations/parity/rules-of-slice.ts';
import { commerceOf } from '@strangler/monolith/testing/commerce.ts';
import { startTestProvider } from '@strangler/monolith/testing/payment-provider.ts';
import { startTestShop, type TestAccount } from '@strangler/monolith/testing/shop.ts';
import { startTestService } from '@strangler/notifications/testing/notifications.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { relayConfig } from '@strangler/platform/outbox/relay/config.ts';
import { startRelayProcess } from '@strangler/platform/outbox/relay/process.ts';
import { names } from '@strangler/platform/outbox/topology.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { rememberTables } from '../remember-tables.ts';
import { sameRows } from './same-rows.ts';
import { createClosers, operationsOf, readSlice, type SlicePair } from './slice-pair.ts';

const tables = ['notifications', 'notification_mailboxes'];

/** What a notification says, whoever wrote it; one of an account after the other, as they are listed. */
const rows = `SELECT account_id, kind, order_id, title, body, read_at IS NOT NULL AS is_read
  FROM notifications ORDER BY account_id, id`;

/**
 * The notifications at the shop and at their service: nothing is copied, so customers buy at the shop, its relay publishes what came of
 * it, and the service writes its own list, before the first sequence. Then both are read, and marked as read.
 */
export async function startNotificationsPair(label: string): Promise<SlicePair> {
  const slice = await readSlice('notifications');
  const closers = createClosers();
  try {
    const provider = await startTestProvider();
    closers.add(() => provider.stop());
    const shop = await startTestShop(`${label}_shop`, { PAYMENT_PROVIDER_URL: provider.url });
    closers.add(() => shop.stop());
    const service = await startTestService(`${label}_not`, { JWKS_URL: `${shop.url}/.well-known/jwks.json` });
    closers.add(async () => {
      const channel = await service.rabbit.channel();
      await channel.deleteQueue(names.stream(service.exchange));
      await service.stop();
    });
    const config = relayConfig({
      ...{ PORT: '0', DATABASE_URL: shop.databaseUrl, RABBITMQ_URL: testServers().rabbitmqUrl },
      ...{ OUTBOX_EXCHANGE: service.exchange, LOG_LEVEL: 'silent' },
    });
    const relay = await startRelayProcess({ config, log: createLog({ name: 'relay', level: 'silent' }) });
    closers.add(() => relay.lifecycle.stop('end'));
    const pools = [
      createPool(shop.databaseUrl, { connectionLimit: 1 }),
      createPool(service.database.url, { connectionLimit: 1 }),
    ] as const;
    for (const pool of pools) closers.add(() => pool.end());
    const observer = sameRows(
      [{ name: 'notifications', left: { pool: pools[0], sql: rows }, right: { pool: pools[1], sql: rows } }],
      0,
    );

    const admin = await shop.account('admin');
    const commerce = await commerceOf(shop);
    const customers = [await shop.account('customer'), await shop.account('customer')] as const;
    const settled = () => eventually(async () => (await observer.rows()).length === 0, { withinMs: 60_000 });
    const buy = async (buyer: TestAccount, cardToken = 'tok_visa'): Promise<number> => {
      await commerce.fill(buyer, { [await commerce.product()]: 1 });
      const { body } = await commerce.checkOut(buyer, { cardToken });
      return Number(body.order?.id ?? 0);
    };
    // One after the other: of two orders side by side the two sides may tell in another order.
    for (const [at, buyer] of customers.entries()) {
      for (const what of ['ship', 'cancel', 'decline', 'nothing'].slice(at)) {
        const order = await buy(buyer, what === 'decline' ? 'tok_decline' : 'tok_visa');
        await settled();
        if (what === 'ship') await admin.client.post(`/api/orders/${order}/ship`);
        if (what === 'cancel') await buyer.client.post(`/api/orders/${order}/cancel`);
        // The money of a cancelled order goes back behind the answer.
        if (what === 'cancel') await untilTold(buyer, 4);
        await settled();
      }
    }
    await relay.lifecycle.stop('all is told');
    const restore = await Promise.all(pools.map((pool) => rememberTables(pool, tables)));
    const sides = [sideAt('monolith', shop.url), sideAt('notifications', service.url)] as const;
    for (const side of sides) closers.add(() => side.close());
    return {
      slice: 'notifications',
      running: {
        operations: await operationsOf(slice),
        sides,
        tokens: { admin: admin.token, customer: customers[0].token, other: customers[1].token },
        rules: rulesOfSlice(slice),
        observer,
        sameIds: await idPairs(pools),
        slowerByMs: null,
        refused: new Map(),
        reset: async () => void (await Promise.all(restore.map((back) => back()))),
      },
      addresses: null,
      spoil: async () => void (await pools[1].query("UPDATE notifications SET title = 'else' LIMIT 1")),
      stop: () => closers.close(),
    };
  } catch (error) {
    await closers.close();
    throw error;
  }
}

/** Both lists say the same in the same order, or it would have been waited for. */
async function idPairs([shop, service]: readonly [Pool, Pool]): Promise<[number, number][]> {
  const sql = 'SELECT id FROM notifications ORDER BY account_id, id';
  const [[ours], [theirs]] = await Promise.all([shop.query<RowDataPacket[]>(sql), service.query<RowDataPacket[]>(sql)]);
  return ours.map(({ id }, at) => [Number(id), Number(theirs[at]?.id)]);
}

/** Notifications about the newest order of a customer. */
const untilTold = ({ client }: TestAccount, count: number): Promise<unknown> =>
  eventually(
    async () => {
      const { items } = (await client.get('/api/notifications?limit=100')).body as { items: { order_id: number }[] };
      return items.filter(({ order_id }) => order_id === items[0]?.order_id).length >= count;
    },
    { withinMs: 30_000 },
  );
