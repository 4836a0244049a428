import { randomBytes } from 'node:crypto';
import { type Commerce, commerceOf } from '@strangler/monolith/testing/commerce.ts';
import { startTestProvider, type TestProvider } from '@strangler/monolith/testing/payment-provider.ts';
import { startTestShop, type TestShop } from '@strangler/monolith/testing/shop.ts';
import { paymentsConfig } from '@strangler/payments/config.ts';
import { migrateUp } from '@strangler/payments/database.ts';
import { type RunningPayments, startPayments } from '@strangler/payments/payments.ts';
import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { relayConfig } from '@strangler/platform/outbox/relay/config.ts';
import { startRelayProcess } from '@strangler/platform/outbox/relay/process.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually, freePort, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';

/** The shop and the payments service with a provider; the service's events are relayed, and rows are not moved. */
export type PaymentSides = {
  shop: TestShop;
  commerce: Commerce;
  provider: TestProvider;
  payments: RunningPayments;
  flags: TestFlags;
  /** Between the shop and the service's gRPC. */
  line: TcpProxy;
  service: Pool;
  monolith: Pool;
  /** The payment's status in a side's table; undefined where there is no row. */
  statusAt(side: Pool, orderId: number): Promise<string | undefined>;
  /** All cents that the provider has taken and not given back. */
  keptCents(): Promise<number>;
  /** `stage`: as the owner implies, unless told. */
  own(owner: 'monolith' | 'service', stage?: Stage): Promise<void>;
  stop(): Promise<void>;
};

const quickly = { RECONCILE_EVERY: '100ms', FIRST_CHECK: '200ms', LONGEST_CHECK: '500ms' };

export async function startPaymentSides(label: string): Promise<PaymentSides> {
  const closers: (() => unknown)[] = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const { rabbitmqUrl } = testServers();
    const exchange = `t_${randomBytes(5).toString('hex')}`;
    const flags = await startTestFlags('payments');
    closers.push(() => flags.stop());
    let epoch = 1;
    await flags.set('monolith', epoch);
    const provider = await startTestProvider();
    closers.push(() => provider.stop());
    const database = await freshDatabase(`${label}_pay`);
    closers.push(() => database.drop());
    const log = createLog({ name: 'payments', level: process.env.TEST_LOG_LEVEL ?? 'fatal' });
    await migrateUp(database.url, log);
    const shopPort = await freePort();
    const payments = await startPayments({
      config: paymentsConfig({
        ...{ PORT: '0', GRPC_PORT: '0', DATABASE_URL: database.url, STRANGLER_FLAGS: flags.address },
        ...{ JWKS_URL: `http://127.0.0.1:${shopPort}/.well-known/jwks.json`, PAYMENT_PROVIDER_URL: provider.url },
        ...{ PROVIDER_TIMEOUT: '1s', IDEMPOTENCY_LEASE: '4s', FENCE_WAIT: '200ms', ...quickly },
      }),
      log,
    });
    closers.push(() => payments.lifecycle.stop('end of test'));
    const relay = await startRelayProcess({
      config: relayConfig({
        ...{ PORT: '0', DATABASE_URL: database.url, RABBITMQ_URL: rabbitmqUrl },
        ...{ OUTBOX_EXCHANGE: exchange, LOG_LEVEL: 'silent' },
      }),
      log,
    });
    closers.push(() => relay.lifecycle.stop('end of test'));
    const line = await startTcpProxy(`http://${payments.grpc.address}`);
    closers.push(() => line.close());
    const shop = await startTestShop(`${label}_shop`, {
      ...{ PORT: `${shopPort}`, STRANGLER_FLAGS: flags.address, PAYMENT_PROVIDER_URL: provider.url },
      ...{ PAYMENTS_GRPC: `${line.host}:${line.port}`, RABBITMQ_URL: rabbitmqUrl, FENCE_WAIT: '20s' },
      ...{ OUTBOX_EXCHANGE: exchange, PAYMENT_NEWS_QUEUE: exchange },
      ...{ PAYMENT_RECONCILE_EVERY: '100ms', PAYMENT_CHECK_AFTER: '200ms' },
    });
    closers.push(() => shop.stop());
    const commerce = await commerceOf(shop);
    const [service, monolith] = [database.url, shop.databaseUrl].map((url) => createPool(url, { connectionLimit: 2 }));
    if (service === undefined || monolith === undefined) throw new Error('expected two pools');
    for (const pool of [service, monolith]) closers.push(() => pool.end());
    return {
      ...{ shop, commerce, provider, payments, flags, line, service, monolith, stop },
      async statusAt(side, orderId) {
        const [[row]] = await side.query<RowDataPacket[]>('SELECT status FROM payments WHERE order_id = ?', [orderId]);
        return row?.status as string | undefined;
      },
      async keptCents() {
        const answer = await fetch(`${provider.url}/control/charges`);
        const { items } = (await answer.json()) as {
          items: { status: string; amount_cents: number; refunded_cents: number }[];
        };
        const taken = items.filter(({ status }) => status === 'succeeded');
        return taken.reduce((sum, { amount_cents, refunded_cents }) => sum + amount_cents - refunded_cents, 0);
      },
      async own(owner, stage) {
        epoch += 1;
        await flags.set(owner, epoch, stage);
        await eventually(() => shop.deps.paymentOwner?.owner.now()?.epoch === epoch);
        await eventually(async () => {
          const text = await (await fetch(`${payments.server.url}/health/ready`)).text();
          return text.includes(`epoch ${epoch}`);
        });
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
