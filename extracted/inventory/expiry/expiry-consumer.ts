import type { Log } from '@strangler/platform/log.ts';
import { type DelayLadder, defaultDelaysMs } from '@strangler/platform/outbox/delays.ts';
import { type Delivery, jsonOf, type Outcome } from '@strangler/platform/outbox/delivery.ts';
import { type Listener, listen } from '@strangler/platform/outbox/listen.ts';
import type { ConsumerSpec, TopologySpec } from '@strangler/platform/outbox/topology.ts';
import { FencedWrite } from '@strangler/platform/ownership/within-fence.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import { Gauge, type Registry } from 'prom-client';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { eventSource } from '../events/event-recorder.ts';
import type { ReservationService } from '../reservations/reservation-service.ts';
import type { ExpiryMetrics } from './expiry-metrics.ts';

export type ExpiryConsumerOptions = {
  rabbit: RabbitConnection;
  /** The one that relays publish to. */
  exchange: string;
  /** Shared by all instances. */
  queue: string;
  reservations: Pick<ReservationService, 'expire'>;
  clock: Clock;
  counted: ExpiryMetrics;
  log: Log;
  registry: Registry;
};

/** Reservations looked at side by side. */
const AT_ONCE = 4;

/** How long a reservation waits whose stock is another's just now. */
const FENCED_MS = 30_000;

const reserved = z.object({
  type: z.literal('stock.reserved'),
  data: z.object({ reservation_id: z.string().min(1), expires_at: z.iso.datetime() }),
});

function expiryConsumer(name: string, delaysMs: DelayLadder = defaultDelaysMs): ConsumerSpec {
  return { name, patterns: [`${eventSource}.stock.reserved`], order: 'none', delaysMs };
}

export function expiryTopology(exchange: string, queue: string, delaysMs?: DelayLadder): TopologySpec {
  return { exchange, consumers: [expiryConsumer(queue, delaysMs)] };
}

/**
 * Expires reservations when their time is over, from whenever RabbitMQ is there. That stock was reserved is told by the outbox:
 * the message waits in queues with a time of their own until the reservation is due. Whoever confirms it meanwhile need not take it
 * back: the reservation says by then that there is nothing to do.
 */
export function expireInTime(options: ExpiryConsumerOptions): Listener {
  const { rabbit, exchange, queue, reservations, clock, counted, log, registry } = options;
  const later = (until: Date): Outcome => {
    const afterMs = until.getTime() - clock.now().getTime();
    return { outcome: 'later', afterMs: Math.max(1, afterMs) };
  };

  const handle = async (delivery: Delivery): Promise<Outcome> => {
    const read = reserved.safeParse(jsonOf(delivery.body));
    if (!read.success) return { outcome: 'poison', reason: `no stock.reserved: ${z.prettifyError(read.error)}` };
    const { reservation_id: id, expires_at } = read.data.data;
    const due = new Date(expires_at);
    if (clock.now() < due) return later(due);
    try {
      const outcome = await reservations.expire(id);
      if (outcome.kind !== 'reservation') return { outcome: 'poison', reason: `reservation ${id}: ${outcome.kind}` };
      const { state, expiresAt } = outcome.reservation;
      if (state === 'held') return later(expiresAt);
      if (state === 'expired') counted.expired('queue', due);
      return 'done';
    } catch (error) {
      if (!(error instanceof FencedWrite)) throw error;
      counted.fenced();
      return { outcome: 'later', afterMs: FENCED_MS };
    }
  };

  const consumer = expiryConsumer(queue);
  const listener = listen({ rabbit, exchange, consumer, handle, concurrency: AT_ONCE, log, metrics: registry });
  new Gauge({
    name: 'inventory_expiry_listening',
    help: '1 while messages of reservations are taken; the sweeper expires them meanwhile.',
    registers: [registry],
    collect() {
      this.set(listener.consuming() ? 1 : 0);
    },
  });
  return listener;
}
