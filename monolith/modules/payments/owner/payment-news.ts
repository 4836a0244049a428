import type { Log } from '@strangler/platform/log.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import { onSequelize } from '@strangler/platform/outbox/execute.ts';
import { once } from '@strangler/platform/outbox/inbox.ts';
import { type Listener, listen } from '@strangler/platform/outbox/listen.ts';
import { markHeader } from '@strangler/platform/outbox/message.ts';
import type { ConsumerSpec } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import type { Sequelize, Transaction } from 'sequelize';
import { z } from 'zod';
import { tellingMark } from '../../../events/event-recorder.ts';
import type { Models } from '../../../models/index.ts';
import { inTransaction } from '../../../transaction.ts';
import type { Notifications } from '../../notifications/notifications.ts';
import type { OrderOfPayment } from '../payments.ts';
import type { PaymentErrands } from './payment-errands.ts';

/** The name that inbox rows bear, whatever the queues are called. */
export const newsConsumer = 'shop.payments';

/** Whoever tells of a payment bears this mark where it is not the shop itself. */
const writerMark = markHeader('payments');

const news = z.object({
  id: z.string().min(1).max(64),
  type: z.enum(['payment.settled', 'payment.failed', 'payment.refunded']),
  data: z.object({
    order_id: z.int().min(1),
    account_id: z.int().min(1),
    amount_cents: z.int().min(0),
    currency: z.string().length(3),
  }),
});
export type PaymentNewsMessage = z.infer<typeof news>;

export type PaymentNewsParts = {
  sequelize: Sequelize;
  models: Models;
  errands: PaymentErrands;
  notifications: Notifications;
  orders: () => OrderOfPayment;
};

const kinds = {
  'payment.settled': 'payment_settled',
  'payment.failed': 'payment_failed',
  'payment.refunded': 'payment_refunded',
} as const;

/**
 * Takes what the payments service tells of an order's money, once: the order learns of it, and its customer. `toldBy`: the side
 * that the service has left the telling to. Money of an order that was cancelled meanwhile is asked back.
 */
export function createPaymentNews({ sequelize, models, errands, notifications, orders }: PaymentNewsParts) {
  return async ({ id, type, data }: PaymentNewsMessage, toldBy: 'monolith' | 'service'): Promise<void> => {
    const { order_id: orderId, account_id: accountId, amount_cents: amountCents, currency } = data;
    const write = (transaction: Transaction) =>
      once(onSequelize(sequelize, transaction), newsConsumer, id, async () => {
        await orders().lock(orderId, transaction);
        const happening = { kind: kinds[type], accountId, orderId, amountCents, currency };
        await notifications.record(happening, transaction, toldBy);
        if (type !== 'payment.settled') return orders().paymentFailed(orderId, transaction);
        await orders().paymentSettled(orderId, transaction);
        // Whose orders they are takes its money back by itself.
        if (!orders().areHere()) return;
        const order = await models.Order.findByPk(orderId, { attributes: ['status'], transaction });
        if (order?.status !== 'cancelled') return;
        await errands.add('cancel', { orderId, accountId, amountCents, currency }, transaction);
        transaction.afterCommit(() => errands.settle(orderId));
      });
    await orders().telling(() => inTransaction(sequelize, write));
  };
}

export const paymentNewsConsumer = (queue: string) =>
  ({ name: queue, patterns: ['shop.payment.*'], order: 'by key' }) as const satisfies ConsumerSpec;

/** Listens for the service's payment events; those that the shop wrote itself are passed by. */
export function listenForPaymentNews({
  rabbit,
  exchange,
  queue,
  take,
  log,
  metrics,
}: {
  rabbit: RabbitConnection;
  exchange: string;
  queue: string;
  take: ReturnType<typeof createPaymentNews>;
  log: Log;
  metrics: Registry;
}): Listener {
  const handle = async ({ headers, body, messageId }: Delivery): Promise<Outcome> => {
    if (headers[writerMark] === undefined) return 'done';
    const read = news.safeParse(JSON.parse(body.toString('utf8')));
    if (!read.success) return { outcome: 'poison', reason: `${messageId}: ${read.error.issues[0]?.message}` };
    const told = String(headers[markHeader(tellingMark)] ?? '');
    await take(read.data, told.startsWith('service/') ? 'service' : 'monolith');
    return 'done';
  };
  return listen({ rabbit, exchange, consumer: paymentNewsConsumer(queue), handle, prefetch: 20, log, metrics });
}
