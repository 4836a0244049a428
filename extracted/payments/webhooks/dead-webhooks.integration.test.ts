import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createDeadLetters } from '@strangler/platform/outbox/dead-letters.ts';
import { type RabbitFixture, rabbitFixture } from '@strangler/platform/outbox/testing/fixture.ts';
import { type RelayProcess, startRelayProcess } from '@strangler/platform/outbox/testing/relay-process.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { cancellationsConsumer } from '../cancellations/cancellation-consumer.ts';
import { readPayment } from '../payment/ledger.ts';
import { startTestPayments, type TestPayments } from '../testing/payments.ts';
import { webhookOf } from '../testing/provider.ts';
import { refusedWebhooksConsumer } from './refused-webhooks.ts';

let fixture: RabbitFixture;
let payments: TestPayments;
let relay: RelayProcess;
let queue: string;
beforeAll(async () => {
  fixture = rabbitFixture('dead-webhooks');
  queue = fixture.named('payments.webhooks');
  const cancellations = fixture.named('payments.cancellations');
  const consumers = [refusedWebhooksConsumer(queue), cancellationsConsumer(cancellations)];
  await fixture.declare({ consumers, stream: {} });
  payments = await startTestPayments('dead_webhooks', {
    ...{ RABBITMQ_URL: fixture.rabbitmqUrl, OUTBOX_EXCHANGE: fixture.exchange, WEBHOOK_QUEUE: queue },
    CANCELLATIONS_QUEUE: cancellations,
    ...{ PROVIDER_TIMEOUT: '300ms', PARK_FIRST: '20ms', PARK_FOR: '40ms' },
  });
  relay = await startRelayProcess({
    ...{ DATABASE_URL: payments.database.url, RABBITMQ_URL: fixture.rabbitmqUrl, OUTBOX_EXCHANGE: fixture.exchange },
    ...{ LEASE_TTL: '1s', LEASE_RENEW: '100ms' },
  });
});
afterAll(async () => {
  relay?.signal('SIGKILL');
  await relay?.exited;
  await payments?.stop();
  await fixture?.close();
});

test('webhooks that cannot be taken end among the dead letters with their reasons, and take effect when they are replayed after a repair', async () => {
  const dead = createDeadLetters(fixture.rabbit);
  const unknown = webhookOf({ reference: 'pay_not_here', amount_cents: 500 });
  await payments.webhook(unknown);
  await payments.webhook('{"id":"evt_bad"}');
  await payments.charge(1, 'tok_lost');
  const payment = await readPayment(payments.pool, { orderId: 1 });
  await payments.webhook(webhookOf({ reference: payment?.reference ?? '', amount_cents: 1 }));

  await eventually(async () => expect(await dead.count(queue)).toBe(3), { withinMs: 60_000 });
  const reasons = (await dead.list(queue, 10)).map(({ reason }) => reason).sort();
  expect(reasons).toEqual([
    expect.stringMatching(/^data: /),
    expect.stringMatching(/^no payment pay_not_here has come/),
    expect.stringMatching(/^the charge is of another amount/),
  ]);

  await payments.pool.query(
    `INSERT INTO payments (order_id, account_id, reference, amount_cents, currency, status, created_at, updated_at)
     VALUES (2, 7, 'pay_not_here', 500, 'EUR', 'pending', NOW(3), NOW(3))`,
  );
  expect(await dead.replay(queue, 'all')).toBe(3);
  await eventually(async () => {
    expect((await readPayment(payments.pool, { reference: 'pay_not_here' }))?.status).toBe('settled');
    expect(await dead.count(queue)).toBe(2);
  });
});
