import { isDatabaseAway } from '@strangler/platform/http/database-away.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import { type Listener, listen } from '@strangler/platform/outbox/listen.ts';
import type { ConsumerSpec } from '@strangler/platform/outbox/topology.ts';
import { FencedWrite } from '@strangler/platform/ownership/within-fence.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import { eventSource } from '../events/event-recorder.ts';
import { readCancelledOrder } from './cancelled-order.ts';
import type { Withdraw } from './withdraw.ts';

/** How long a cancellation waits whose payment is another's just now, or whose database does not answer. */
const LATER_MS = 10_000;

export function cancellationsConsumer(name: string): ConsumerSpec {
  return { name, patterns: [`${eventSource}.order.cancelled`], order: 'none', delaysMs: [LATER_MS] };
}

/**
 * Hears that orders are cancelled, wherever they are, and gives their money back where nobody else asks for that. One event an order is
 * of interest, so that there is no order to keep.
 */
export function hearCancellations({
  queue,
  withdraw,
  ...listening
}: {
  rabbit: RabbitConnection;
  exchange: string;
  queue: string;
  withdraw: Withdraw;
  log: Log;
  metrics: Registry;
}): Listener {
  const handle = async (delivery: Delivery): Promise<Outcome> => {
    const read = readCancelledOrder(delivery);
    if (read.kind === "another's") return 'done';
    if (read.kind === 'fault') return { outcome: 'poison', reason: `no order.cancelled: ${read.fault}` };
    try {
      await withdraw(read.cancelled);
      return 'done';
    } catch (error) {
      if (error instanceof FencedWrite || isDatabaseAway(error)) return { outcome: 'later', afterMs: LATER_MS };
      throw error;
    }
  };
  return listen({ ...listening, consumer: cancellationsConsumer(queue), handle, concurrency: 4 });
}
