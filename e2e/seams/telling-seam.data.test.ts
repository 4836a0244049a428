import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Commerce, commerceOf } from '@strangler/monolith/testing/commerce.ts';
import { startTestProvider, type TestProvider } from '@strangler/monolith/testing/payment-provider.ts';
import { startTestShop, type TestAccount, type TestShop } from '@strangler/monolith/testing/shop.ts';
import { startTestService, type TestService } from '@strangler/notifications/testing/notifications.ts';
import { createLog } from '@strangler/platform/log.ts';
import { relayConfig } from '@strangler/platform/outbox/relay/config.ts';
import { startRelayProcess } from '@strangler/platform/outbox/relay/process.ts';
import { names } from '@strangler/platform/outbox/topology.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { QueryTypes } from 'sequelize';
import { WebSocket } from 'ws';

let flags: TestFlags;
let provider: TestProvider;
let shop: TestShop;
let commerce: Commerce;
let service: TestService;
let relay: Awaited<ReturnType<typeof startRelayProcess>>;
let buyer: TestAccount;

beforeAll(async () => {
  flags = await startTestFlags('notifications');
  await flags.set('monolith', 1);
  provider = await startTestProvider();
  shop = await startTestShop('telling', { PAYMENT_PROVIDER_URL: provider.url, STRANGLER_FLAGS: flags.address });
  commerce = await commerceOf(shop);
  service = await startTestService('telling', {
    JWKS_URL: `${shop.url}/.well-known/jwks.json`,
    STRANGLER_FLAGS: flags.address,
  });
  const config = relayConfig({
    ...{ PORT: '0', DATABASE_URL: shop.databaseUrl, RABBITMQ_URL: testServers().rabbitmqUrl },
    ...{ OUTBOX_EXCHANGE: service.exchange, LOG_LEVEL: 'silent' },
  });
  relay = await startRelayProcess({ config, log: createLog({ name: 'relay', level: 'silent' }) });
  buyer = await shop.account('customer');
});
afterAll(async () => {
  await relay?.lifecycle.stop('test');
  if (service) {
    const channel = await service.rabbit.channel();
    await channel.deleteQueue(names.stream(service.exchange));
    await service.stop();
  }
  await shop?.stop();
  await provider?.stop();
  await flags?.stop();
});

async function own(owner: 'monolith' | 'service', epoch: number): Promise<void> {
  await flags.set(owner, epoch);
  await eventually(() => shop.deps.tellingSides.isShops() === (owner === 'monolith'));
  await eventually(async () => (await (await fetch(`${service.url}/health/ready`)).text()).includes(`epoch ${epoch}`));
}

async function buys(): Promise<number> {
  await commerce.fill(buyer, { [await commerce.product()]: 1 });
  return (await commerce.checkOut(buyer)).body.order.id;
}

/** Kinds and orders that a stream gives from there on, and how it was closed. */
function listen(url: string, after: string) {
  const socket = new WebSocket(
    `${url.replace('http', 'ws')}/api/notifications/stream?access_token=${buyer.token}&after=${after}`,
  );
  const told: { id: number; order: number }[] = [];
  socket.on('message', (data) => {
    const { notification } = JSON.parse(`${data}`);
    if (notification) told.push({ id: notification.id, order: notification.order_id });
  });
  const closed = once(socket, 'close').then(([code]) => code as number);
  return { told, closed, orders: () => [...new Set(told.map(({ order }) => order))], end: () => socket.terminate() };
}

const marksOf = async (orderId: number): Promise<unknown[]> => {
  const rows = await shop.database.sequelize.query<{ headers: string }>(
    "SELECT headers FROM strangler_outbox WHERE subject = 'order' AND subject_key = :key ORDER BY id",
    { type: QueryTypes.SELECT, replacements: { key: `${orderId}` } },
  );
  return rows.map(({ headers }) => JSON.parse(headers).marks);
};

test('a customer whose page stays open through two moves is told of each order once, by the side that its events name', async () => {
  const atShop = listen(shop.url, '0');
  const first = await buys();
  expect(await marksOf(first)).toEqual(Array(2).fill({ notifications: 'monolith/1' }));
  await eventually(() => expect(atShop.told).toHaveLength(2));

  await own('service', 2);
  const second = await buys();
  expect(await marksOf(second)).toEqual(Array(2).fill({ notifications: 'service/2' }));
  // The shop sends its listeners away.
  expect(await atShop.closed).toBe(1001);
  const shops = atShop.told.at(-1)?.id;
  const atService = listen(service.url, `${shops}`);
  await eventually(() => expect(atService.told).toHaveLength(2));
  expect([atShop.orders(), atService.orders()]).toEqual([[first], [second]]);
  const services = atService.told.at(-1)?.id;

  await own('monolith', 3);
  const third = await buys();
  const again = listen(shop.url, `${shops},${services}`);
  await eventually(() => expect(again.told).toHaveLength(2));
  expect(again.orders()).toEqual([third]);
  expect(await atService.closed).toBe(1001);

  // Both have it all, whoever told; in what order those of several orders come is not promised.
  await eventually(async () => {
    const list = async (url: string) => {
      const answer = await fetch(`${url}/api/notifications?limit=100`, {
        headers: { authorization: `Bearer ${buyer.token}` },
      });
      return ((await answer.json()) as { items: { order_id: number }[] }).items
        .map(({ order_id }) => order_id)
        .sort((a, b) => a - b);
    };
    const all = [first, first, second, second, third, third];
    expect([await list(shop.url), await list(service.url)]).toEqual([all, all]);
  });
  again.end();
});
