import { pause } from '@strangler/platform/backoff.ts';
import { GrpcError } from '@strangler/platform/grpc/errors.ts';
import type { Log } from '@strangler/platform/log.ts';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { StockView } from '../stock/stock-view.ts';
import { createMailbox, type Mailbox } from './mailbox.ts';

export type StockWatch = {
  /**
   * The levels of these products as they are, then as they become, until the signal is aborted. A reader who is slow is given the
   * newest level of a product; those in between are dropped. Throws UNAVAILABLE when this instance stops or cannot see the
   * levels, and RESOURCE_EXHAUSTED where too many watch already.
   */
  levels(productIds: readonly number[], signal: AbortSignal): AsyncIterable<StockView>;
  /** Ends every watch; one that comes afterwards is ended at once. */
  stop(): Promise<void>;
};

export type StockWatchOptions = {
  read(productIds: readonly number[]): Promise<StockView[]>;
  /** How often the database is asked, for all watches together, while there are any. */
  everyMs: number;
  log: Log;
  registry: Registry;
  /** 500 unless told. */
  mostWatches?: number;
};

type Watch = {
  productIds: readonly number[];
  mailbox: Mailbox<number, StockView>;
  /** What was told last, by product. */
  versions: Map<number, number>;
};

/** Products asked for in one statement. */
const BATCH = 1_000;

export function createStockWatch(options: StockWatchOptions): StockWatch {
  const { read, everyMs, log, registry, mostWatches = 500 } = options;
  const watches = new Set<Watch>();
  const stopping = new AbortController();
  let ticking: Promise<void> | undefined;
  new Gauge({
    name: 'inventory_stock_watches',
    help: 'Streams of stock levels that are open.',
    registers: [registry],
    collect() {
      this.set(watches.size);
    },
  });
  const dropped = new Counter({
    name: 'inventory_stock_watch_dropped_total',
    help: 'Levels that a slow reader was not told of, because a newer one took their place.',
    registers: [registry],
  });

  const tell = (watch: Watch, levels: ReadonlyMap<number, StockView>): void => {
    for (const id of watch.productIds) {
      const level = levels.get(id);
      // An older one may have been read before and come later.
      if (level === undefined || level.version <= (watch.versions.get(id) ?? -1)) continue;
      watch.versions.set(id, level.version);
      if (watch.mailbox.put(id, level) === 'replaced') dropped.inc();
    }
  };

  const levelsOf = async (productIds: readonly number[]): Promise<Map<number, StockView>> => {
    const levels = new Map<number, StockView>();
    for (let from = 0; from < productIds.length; from += BATCH) {
      for (const level of await read(productIds.slice(from, from + BATCH))) levels.set(level.productId, level);
    }
    return levels;
  };

  const endAll = (reason: Error): void => {
    for (const { mailbox } of watches) mailbox.close(reason);
  };

  const tick = async (): Promise<void> => {
    while (watches.size > 0 && (await pause(everyMs, stopping.signal)) === 'elapsed') {
      const present = [...watches];
      try {
        const levels = await levelsOf([...new Set(present.flatMap(({ productIds }) => productIds))]);
        for (const watch of present) tell(watch, levels);
      } catch (error) {
        // A watch that says nothing looks like stock that does not change.
        log.warn({ err: error, watches: present.length }, 'stock levels cannot be read; the watches are ended');
        endAll(new GrpcError('UNAVAILABLE', 'stock levels cannot be read here just now; watch again'));
      }
    }
    // In the turn in which nobody watched: who comes next begins anew.
    ticking = undefined;
  };

  return {
    async *levels(productIds, signal) {
      if (watches.size >= mostWatches) {
        throw new GrpcError('RESOURCE_EXHAUSTED', `${mostWatches} watches are open here; try again later`);
      }
      const watch: Watch = { productIds: [...new Set(productIds)], mailbox: createMailbox(), versions: new Map() };
      const leave = () =>
        watch.mailbox.close(new GrpcError('CANCELLED', 'the client has gone, or its deadline is over'));
      if (stopping.signal.aborted) throw stopped();
      watches.add(watch);
      signal.addEventListener('abort', leave, { once: true });
      try {
        tell(watch, await levelsOf(watch.productIds));
        ticking ??= tick();
        for (;;) yield await watch.mailbox.take();
      } finally {
        signal.removeEventListener('abort', leave);
        watches.delete(watch);
      }
    },
    async stop() {
      stopping.abort();
      endAll(stopped());
      await ticking;
    },
  };
}

function stopped(): GrpcError {
  return new GrpcError('UNAVAILABLE', 'this instance is stopping; watch again at another');
}
