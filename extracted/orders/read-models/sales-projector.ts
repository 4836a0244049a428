import { randomBytes } from 'node:crypto';
import { pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import { change } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import { declareTopology } from '@strangler/platform/outbox/declare.ts';
import { readStream, type StreamMessage, type StreamReader } from '@strangler/platform/outbox/stream.ts';
import { names } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Pool } from 'mysql2/promise';
import { Counter, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import { readSalesEvent, type SalesEvent, salesKeys } from './sales-model.ts';
import {
  countSale,
  emptyTables,
  type ModelRow,
  otherSide,
  positionOf,
  readModel,
  type Side,
  writePosition,
} from './sales-tables.ts';

export const salesModel = 'sales';

/** Keeps the read model of sales in step with the stream of events. Any number of instances may: each message counts once. */
export type SalesProjector = {
  /** Begins to build the model anew beside the one that answers; `running` where somebody is at it already. */
  rebuild(): Promise<'begun' | 'running'>;
  stop(): Promise<void>;
};

/** Somebody who builds and has not been heard of for so long is taken to be dead. */
const builderLeaseMs = 30_000;

/** The next message waits for this many to be written down together. */
const mostTogether = 100;
const togetherWithinMs = 20;
/** No more of the stream is read while so many wait. */
const mostWaiting = 1_000;

/** So near to the set that answers, the other one is let reach it. */
const nearOffsets = 2_000;

class StandsStill extends Error {
  override name = 'StandsStill';
}

export function startSalesProjector({
  rabbit,
  exchange,
  pool,
  clock,
  log,
  metrics,
}: {
  rabbit: RabbitConnection;
  exchange: string;
  pool: Pool;
  clock: Clock;
  log: Log;
  metrics: Registry;
}): SalesProjector {
  const queue = names.stream(exchange);
  const stoppers = new Set<() => Promise<void>>();
  let stopped = false;
  const counted = new Counter({
    name: 'orders_read_model_messages_total',
    help: 'Messages of the stream that a read model has heard, while it answers or while it is built',
    labelNames: ['model', 'as'],
    registers: [metrics],
  });

  type Heard = { offset: number; event: SalesEvent };

  /** Writes messages into a set of tables that has not heard them yet, with its position. */
  const write = async (
    transaction: Parameters<Parameters<typeof withTransaction>[2]>[0],
    row: ModelRow,
    side: Side,
    heard: readonly Heard[],
  ) => {
    const fresh = heard.filter(({ offset }) => offset > positionOf(row, side));
    for (const { event } of fresh) await countSale(transaction, side, event);
    const last = fresh.at(-1)?.offset;
    if (last !== undefined) await writePosition(transaction, salesModel, side, last);
    return last ?? positionOf(row, side);
  };

  /** Follows the stream and hands over what is of sales, several together; what is refused is handed over again. */
  const follow = (from: number, take: (heard: readonly Heard[]) => Promise<void>): { stop(): Promise<void> } => {
    let waiting: Heard[] = [];
    let timer: NodeJS.Timeout | undefined;
    let writing: Promise<void> = Promise.resolve();
    const flush = (): Promise<void> => {
      clearTimeout(timer);
      timer = undefined;
      writing = writing
        .catch(() => {})
        .then(async () => {
          const batch = [...waiting];
          if (batch.length === 0) return;
          await take(batch);
          waiting = waiting.slice(batch.length);
        });
      return writing;
    };
    const flushLater = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        flush().catch((error: unknown) => {
          if (!(error instanceof StandsStill)) {
            log.warn({ err: error, model: salesModel }, 'a read model could not be written; trying again');
          }
          if (!stopped) flushLater();
        });
      }, togetherWithinMs);
    };
    const handle = async ({ routingKey, body, offset }: StreamMessage): Promise<void> => {
      if (!salesKeys.has(routingKey)) return;
      const event = readSalesEvent(body);
      if (event === undefined) return void log.error({ offset, routingKey }, 'an event of the stream cannot be read');
      waiting.push({ offset, event });
      if (waiting.length >= mostTogether) await flush().catch(() => {});
      if (waiting.length > 0) flushLater();
      while (waiting.length >= mostWaiting && !stopped) await pause(togetherWithinMs);
    };
    const reader: StreamReader = readStream({
      ...{ rabbit, queue, handle, log },
      from: from < 0 ? 'first' : { offset: from + 1 },
    });
    const stop = async () => {
      stoppers.delete(stop);
      await reader.stop();
      clearTimeout(timer);
      await writing.catch(() => {});
    };
    stoppers.add(stop);
    return { stop };
  };

  const followLive = async (): Promise<void> => {
    const row = await readModel(pool, salesModel);
    if (stopped) return;
    follow(positionOf(row, row.live), async (heard) => {
      await withTransaction(pool, 'READ COMMITTED', async (transaction) => {
        const now = await readModel(transaction, salesModel, { lock: true });
        // For as long as the other set takes to reach this one: it would run before it for ever.
        const stands = now.isClosing && now.builderUntil !== null && now.builderUntil > clock.now();
        if (stands) throw new StandsStill();
        await write(transaction, now, now.live, heard);
      });
      counted.inc({ model: salesModel, as: 'live' }, heard.length);
    });
  };

  /** Takes over the building, and empties the set of tables that does not answer. */
  const claim = (builder: string): Promise<boolean> =>
    withTransaction(pool, 'READ COMMITTED', async (transaction) => {
      const row = await readModel(transaction, salesModel, { lock: true });
      const now = clock.now();
      if (row.builder !== null && row.builderUntil !== null && row.builderUntil > now) return false;
      await emptyTables(transaction, salesModel, otherSide(row.live));
      await renew(transaction, builder, false);
      return true;
    });
  const renew = (transaction: Parameters<typeof change>[0], builder: string, isNear: boolean) =>
    change(transaction, 'UPDATE read_models SET builder = ?, builder_until = ?, is_closing = ? WHERE name = ?', [
      ...[builder, new Date(clock.now().getTime() + builderLeaseMs), isNear, salesModel],
    ]);

  /** Writes what was heard; where that is all that the live tables have heard, the two change places in the same moment. */
  const buildOn = (builder: string, heard: readonly Heard[]): Promise<'building' | 'over'> =>
    withTransaction(pool, 'READ COMMITTED', async (transaction) => {
      const row = await readModel(transaction, salesModel, { lock: true });
      if (row.builder !== builder) return 'over';
      const side = otherSide(row.live);
      const reached = await write(transaction, row, side, heard);
      if (reached < positionOf(row, row.live)) {
        await renew(transaction, builder, positionOf(row, row.live) - reached <= nearOffsets);
        return 'building';
      }
      await change(
        transaction,
        'UPDATE read_models SET live = ?, builder = NULL, builder_until = NULL, is_closing = 0, rebuilt_at = ? WHERE name = ?',
        [side, clock.now(), salesModel],
      );
      return 'over';
    });

  const forget = rabbit.onConnected(async (source) => {
    await declareTopology(source, { exchange, consumers: [], stream: {} });
    if (stoppers.size === 0 && !stopped) await followLive();
  });

  return {
    async rebuild() {
      const builder = randomBytes(16).toString('hex');
      if (!(await claim(builder))) return 'running';
      // A model that has heard nothing is built at once.
      if ((await buildOn(builder, [])) === 'over') return 'begun';
      const building = follow(-1, async (heard) => {
        const state = await buildOn(builder, heard);
        counted.inc({ model: salesModel, as: 'building' }, heard.length);
        if (state === 'over') setImmediate(() => void building.stop());
      });
      return 'begun';
    },
    async stop() {
      stopped = true;
      forget();
      await Promise.all([...stoppers].map((stop) => stop()));
    },
  };
}
