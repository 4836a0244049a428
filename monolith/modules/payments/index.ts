import { pruneInbox } from '@strangler/platform/outbox/inbox.ts';
import type { Queryable } from '@strangler/platform/outbox/schema.ts';
import { withinFence } from '@strangler/platform/ownership/within-fence.ts';
import { type RepeatedJob, repeat } from '@strangler/platform/repeated-job.ts';
import { QueryTypes } from 'sequelize';
import { refuseOnceComplete } from '../../moved-away.ts';
import type { ModuleDeps, ShopModule } from '../module.ts';
import type { Notifications } from '../notifications/notifications.ts';
import { PaymentErrands } from './owner/payment-errands.ts';
import { createPaymentNews, listenForPaymentNews } from './owner/payment-news.ts';
import { PaymentsOfOwner } from './owner/payments-of-owner.ts';
import { LocalPayments, type OrderOfPayment, type Payments } from './payments.ts';
import { createProviderClient } from './provider-client.ts';
import { PaymentReconciler } from './reconciler.ts';
import { paymentRoutes } from './routes.ts';
import { createWebhookReceiver, type WebhookReceiver } from './webhooks.ts';

export type { Payments } from './payments.ts';

export type PaymentsModule = ShopModule & { payments: Payments; local: LocalPayments; reconciler: PaymentReconciler };

export function createPaymentsModule(
  deps: ModuleDeps,
  { notifications }: { notifications: Notifications },
): PaymentsModule {
  const timings = deps.config.paymentTimings;
  const provider = createProviderClient({ url: deps.config.paymentProviderUrl, timeoutMs: timings.chargeTimeoutMs });
  const local = new LocalPayments({ ...deps, provider, notifications, timings });
  const owner = deps.paymentOwner?.owner;
  const isOwner = () => owner === undefined || (owner.now()?.owner ?? 'monolith') === 'monolith';
  const reconciler = new PaymentReconciler({ ...deps, provider, payments: local, timings, isOwner });
  const received = createWebhookReceiver({ ...deps, payments: local });
  // Once the payments are the service's, webhooks are too: a stray is told to come again.
  const webhooks: WebhookReceiver = {
    take: (webhook) =>
      withinFence(() => received.take(webhook), { owner, self: 'monolith', waitMs: deps.config.fenceWaitMs }),
    forgetOld: async () => {
      if (isOwner()) await received.forgetOld();
    },
  };
  local.whenRefundIsOwed((paymentId) => reconciler.soon(paymentId));
  const elsewhere = deps.paymentOwner && paymentsElsewhere(deps, deps.paymentOwner, { local, notifications });
  let forgetting: RepeatedJob | undefined;
  return {
    payments: elsewhere?.payments ?? local,
    local,
    reconciler,
    routes: paymentRoutes({
      ...{ ...deps, webhooks, webhookSecret: deps.config.paymentWebhookSecret },
      // In the end there is no table to read.
      refuseMoved: () => refuseOnceComplete(owner, { what: 'The payments are', service: 'payments' }),
    }),
    start: async () => {
      reconciler.start();
      elsewhere?.start();
      forgetting = repeat('forgetting old webhooks', 60_000, deps.log, () => webhooks.forgetOld());
    },
    stop: async () => {
      await forgetting?.stop();
      await elsewhere?.stop();
      await reconciler.stop();
    },
  };
}

/** How long it is remembered which news were heard: longer than any dead letter waits to be replayed. */
const rememberNewsMs = 30 * 24 * 3_600_000;

/** What there is beside the shop's own payments where the service may have them. */
function paymentsElsewhere(
  deps: ModuleDeps,
  { owner, client, rabbit }: NonNullable<ModuleDeps['paymentOwner']>,
  { local, notifications }: { local: LocalPayments; notifications: Notifications },
) {
  const { sequelize, log, metrics } = deps;
  const errands = new PaymentErrands({ ...deps, owner, client, local, timings: deps.config.paymentTimings });
  const ofOwner = new PaymentsOfOwner({ ...deps, owner, client, local, errands, waitMs: deps.config.fenceWaitMs });
  let orders: OrderOfPayment | undefined;
  const payments: Payments = {
    placing: (work) => ofOwner.placing(work),
    create: (request, transaction) => ofOwner.create(request, transaction),
    charge: (request) => ofOwner.charge(request),
    lockOf: (orderId, transaction) => ofOwner.lockOf(orderId, transaction),
    orderCancelled: (orderId, transaction) => ofOwner.orderCancelled(orderId, transaction),
    ofOrders: (orderIds) => ofOwner.ofOrders(orderIds),
    tellOrders(told) {
      orders = told;
      ofOwner.tellOrders(told);
    },
  };
  const take = createPaymentNews({
    ...{ sequelize, models: deps.models, errands, notifications },
    orders: () => {
      if (!orders) throw new Error('payments have nobody to tell of outcomes: tellOrders() was not called');
      return orders;
    },
  });
  const adopting = adoptOrders({ errands, areHere: () => orders?.areHere() ?? false, clock: deps.clock, log });
  let listening: ReturnType<typeof listenForPaymentNews> | undefined;
  let forgetting: RepeatedJob | undefined;
  return {
    payments,
    start() {
      errands.start();
      adopting.start();
      const { outboxExchange: exchange, paymentNewsQueue: queue } = deps.config;
      listening = listenForPaymentNews({ rabbit, exchange, queue, take, log, metrics });
      forgetting = repeat('forgetting old news of payments', 60_000, log, async () => {
        await pruneInbox(queryable(sequelize), rememberNewsMs);
      });
    },
    async stop() {
      await forgetting?.stop();
      await listening?.stop(deps.config.drainGraceMs);
      await adopting.stop();
      await errands.stop();
    },
  };
}

/** Whoever was cut off from the flags may have taken news for another's for a while after the orders have come back. */
const adoptForMs = 90_000;

/** For a while after the orders have come back, and after a start, those that wait for their payment are asked about. */
function adoptOrders({
  errands,
  areHere,
  clock,
  log,
}: {
  errands: PaymentErrands;
  areHere(): boolean;
  clock: ModuleDeps['clock'];
  log: ModuleDeps['log'];
}): { start(): void; stop(): Promise<void> } {
  let since: Date | undefined;
  let job: RepeatedJob | undefined;
  const adopt = async (): Promise<void> => {
    const now = clock.now();
    since = areHere() ? (since ?? now) : undefined;
    if (since !== undefined && now.getTime() - since.getTime() <= adoptForMs) await errands.adopt(since);
  };
  return {
    start() {
      job = repeat('adopting orders that have come back', 5_000, log, adopt);
    },
    async stop() {
      await job?.stop();
    },
  };
}

function queryable(sequelize: ModuleDeps['sequelize']): Queryable {
  const query = (sql: string, values: unknown[] = []) =>
    sequelize.query(sql, { replacements: values, type: QueryTypes.RAW });
  return { query } as unknown as Queryable;
}
