import { isDatabaseAway } from '@strangler/platform/http/database-away.ts';
import type { Log } from '@strangler/platform/log.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import { type Listener, listen } from '@strangler/platform/outbox/listen.ts';
import type { ConsumerSpec } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import { keepPayment } from '../neighbours/payment-news.ts';
import { readAnswer } from './answer.ts';
import type { Cancellations } from './cancellation-store.ts';

/** How long an answer waits while the database does not answer. */
const LATER_MS = 10_000;

const patterns = ['shop.cancellation.*', 'shop.payment.refunded', 'shop.payment.failed'];

export function answersConsumer(name: string): ConsumerSpec {
  return { name, patterns, order: 'none', delaysMs: [LATER_MS] };
}

/**
 * Hears what the others say of cancelled orders. What is known only ever grows, so that answers may come in any order and again; and it
 * is the service's own knowledge, whoever has the orders meanwhile.
 */
export function hearAnswers({
  queue,
  pool,
  cancellations,
  ...listening
}: {
  rabbit: RabbitConnection;
  exchange: string;
  queue: string;
  pool: Pool;
  cancellations: Cancellations;
  log: Log;
  metrics: Registry;
}): Listener {
  const handle = async ({ body }: Delivery): Promise<Outcome> => {
    const read = readAnswer(body);
    if ('fault' in read) return { outcome: 'poison', reason: `no answer to a cancellation: ${read.fault}` };
    try {
      await withTransaction(pool, 'READ COMMITTED', async (transaction) => {
        const heard = await cancellations.hear(read.orderId, read.answer, transaction);
        if (heard === 'heard' && read.payment !== undefined) await keepPayment(transaction, read.payment);
      });
      return 'done';
    } catch (error) {
      if (isDatabaseAway(error)) return { outcome: 'later', afterMs: LATER_MS };
      throw error;
    }
  };
  return listen({ ...listening, consumer: answersConsumer(queue), handle });
}
