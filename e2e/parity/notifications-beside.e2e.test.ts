import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Commerce, commerceOf } from '@strangler/monolith/testing/commerce.ts';
import { startTestProvider, type TestProvider } from '@strangler/monolith/testing/payment-provider.ts';
import { startTestShop, type TestAccount, type TestShop } from '@strangler/monolith/testing/shop.ts';
import { startTestService, type TestService } from '@strangler/notifications/testing/notifications.ts';
import { createLog } from '@strangler/platform/log.ts';
import { relayConfig } from '@strangler/platform/outbox/relay/config.ts';
import { startRelayProcess } from '@strangler/platform/outbox/relay/process.ts';
import { names } from '@strangler/platform/outbox/topology.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';

let provider: TestProvider;
let shop: TestShop;
let commerce: Commerce;
let service: TestService;
let relay: Awaited<ReturnType<typeof startRelayProcess>>;
let admin: TestAccount;

beforeAll(async () => {
  provider = await startTestProvider();
  shop = await startTestShop('beside', { PAYMENT_PROVIDER_URL: provider.url });
  commerce = await commerceOf(shop);
  admin = await shop.account('admin');
  service = await startTestService('beside', { JWKS_URL: `${shop.url}/.well-known/jwks.json` });
  const config = relayConfig({
    ...{ PORT: '0', DATABASE_URL: shop.databaseUrl, RABBITMQ_URL: testServers().rabbitmqUrl },
    ...{ OUTBOX_EXCHANGE: service.exchange, LOG_LEVEL: 'silent' },
  });
  relay = await startRelayProcess({ config, log: createLog({ name: 'relay', level: 'silent' }) });
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
});

/** Somebody who registers through the API, so that it is told of. */
async function customer(name: string): Promise<TestAccount> {
  const email = `${name}@customers.example`;
  const password = 'correct horse battery';
  const { body: account } = await shop.client.post('/api/accounts', { email, password, display_name: name });
  const { body: session } = await shop.client.post('/api/sessions', { email, password });
  const token = session.access_token as string;
  return { id: account.id, email: account.email, token, client: shop.client.as(token) };
}

async function buys(buyer: TestAccount, cardToken: string): Promise<number> {
  await commerce.fill(buyer, { [await commerce.product()]: 1 });
  const { body } = await commerce.checkOut(buyer, { cardToken });
  return (body.order?.id ?? 0) as number;
}

type Item = { kind: string; order_id: number; title: string; body: string; read_at: string | null };
const shown = ({ kind, order_id, title, body, read_at }: Item) => ({ kind, order_id, title, body, read_at });

/** Both sides' lists, when the service's is as long as the shop's, which has `count`. */
async function lists({ token, client }: TestAccount, count: number): Promise<[Item[], Item[]]> {
  return eventually(async () => {
    const [ofShop, ofService] = await Promise.all([
      client.get('/api/notifications?limit=100'),
      service.send('GET', '/api/notifications?limit=100', { token }),
    ]);
    expect([ofShop.body.items.length, ofService.body.items.length]).toEqual([count, count]);
    expect(ofService.body.unread).toBe(ofShop.body.unread);
    return [ofShop.body.items.map(shown), ofService.body.items.map(shown)] as [Item[], Item[]];
  });
}

describe('beside the shop', () => {
  test('the service writes the same list from what the shop tells, and is silent', async () => {
    const buyer = await customer('Silent');
    const shipped = await buys(buyer, 'tok_visa');
    await admin.client.post(`/api/orders/${shipped}/ship`);
    const cancelled = await buys(buyer, 'tok_visa');
    await buyer.client.post(`/api/orders/${cancelled}/cancel`);
    const { body } = await eventually(async () => {
      const answer = await buyer.client.get('/api/notifications?limit=100');
      return answer.body.items.length === 7 && answer;
    });
    const [ofShop, ofService] = await lists(buyer, body.items.length);
    // The shop's may tell of two orders side by side; of one order both tell in the same order.
    for (const order of [shipped, cancelled]) {
      const of = (items: Item[]) => items.filter(({ order_id }) => order_id === order);
      expect(of(ofService)).toEqual(of(ofShop));
    }
    expect(service.mail.mailbox.list(buyer.email)).toEqual([]);
  });

  test('the service writes to customers from the position on that it is handed', async () => {
    const token = admin.token;
    const { body: status } = await service.send('GET', '/internal/delivery', { token });
    expect(status).toMatchObject({ mode: 'shadow', highest_delivered: null });
    const from = { epoch: status.highest_handled.epoch, id: String(BigInt(status.highest_handled.id) + 1n) };
    const body = { expected_seq: 0, side: 'service', from, reason: 'a test' };
    expect((await service.send('POST', '/internal/delivery/handovers', { token, body })).status).toBe(201);

    const buyer = await customer('Written');
    const order = await buys(buyer, 'tok_visa');
    await lists(buyer, 2);
    const mails = () => service.mail.mailbox.list(buyer.email);
    await eventually(() =>
      expect(
        mails()
          .map(({ subject }) => subject)
          .sort(),
      ).toEqual([`Order ${order} was placed`, `Payment for order ${order}`]),
    );
    const invoice = mails().find(({ subject }) => subject.startsWith('Payment'))?.attachments[0];
    expect(invoice?.content.subarray(0, 5).toString()).toBe('%PDF-');
    expect(mails()[0]?.text).toContain('Hello Written,');
  });
});
