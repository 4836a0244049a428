import { describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { StockView } from '../stock/stock-view.ts';
import { createStockWatch } from './stock-watch.ts';

const level = (productId: number, version: number): StockView => {
  return { productId, available: version * 10, version, updatedAt: new Date(0) };
};

/** Levels that a test sets, and a watch that looks at them every millisecond. */
function watched(more: { mostWatches?: number } = {}) {
  const versions = new Map<number, number>();
  const asked = { times: 0 };
  const failing: { with?: Error } = {};
  const registry = new Registry();
  const watch = createStockWatch({
    read: async (ids) => {
      asked.times += 1;
      if (failing.with !== undefined) throw failing.with;
      return ids.map((id) => level(id, versions.get(id) ?? 0));
    },
    everyMs: 1,
    log: pino({ level: 'silent' }),
    registry,
    ...more,
  });
  const dropped = async () => {
    const [line] = (await registry.getSingleMetric('inventory_stock_watch_dropped_total')?.get())?.values ?? [];
    return line?.value ?? 0;
  };
  const open = (ids: number[], signal = new AbortController().signal) =>
    watch.levels(ids, signal)[Symbol.asyncIterator]();
  return { watch, versions, asked, failing, dropped, open };
}

describe('a watch of stock', () => {
  test('gives a slow reader the newest level, once, and counts those that nobody saw', async () => {
    const { watch, asked, versions, dropped, open } = watched();
    const levels = open([1, 2]);
    expect((await levels.next()).value).toEqual(level(1, 0));
    expect((await levels.next()).value).toEqual(level(2, 0));
    for (const version of [1, 2, 3]) {
      versions.set(1, version);
      const looks = asked.times;
      // Seen by the watch, and not taken by the reader.
      await eventually(() => asked.times > looks + 1);
    }
    expect(await dropped()).toBe(2);
    expect((await levels.next()).value).toEqual(level(1, 3));
    versions.set(2, 1);
    expect((await levels.next()).value).toEqual(level(2, 1));
    await watch.stop();
  });

  test('asks once for all who watch, and nothing while nobody does', async () => {
    const { watch, asked, versions, open } = watched();
    const leaving = [new AbortController(), new AbortController()];
    const readers = leaving.map(({ signal }) => open([1], signal));
    await Promise.all(readers.map((reader) => reader.next()));
    const next = readers.map((reader) => reader.next());
    versions.set(1, 1);
    for (const one of await Promise.all(next)) expect(one.value).toEqual(level(1, 1));
    for (const controller of leaving) controller.abort();
    for (const reader of readers) await expect(reader.next()).rejects.toThrow(/the client has gone/);
    let before = -1;
    await eventually(async () => {
      const same = before === asked.times;
      before = asked.times;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return same;
    });
    const again = open([1]);
    expect((await again.next()).value).toEqual(level(1, 1));
    versions.set(1, 2);
    expect((await again.next()).value).toEqual(level(1, 2));
    await watch.stop();
  });

  test('ends with UNAVAILABLE when the instance stops, for those who come later too', async () => {
    const { watch, open } = watched();
    const levels = open([1]);
    await levels.next();
    const waiting = levels.next();
    waiting.catch(() => {});
    await watch.stop();
    await expect(waiting).rejects.toThrow('this instance is stopping; watch again at another');
    await expect(open([1]).next()).rejects.toThrow('this instance is stopping');
  });

  test('ends where the levels cannot be read: silence would look like stock that does not change', async () => {
    const { watch, failing, open } = watched();
    const levels = open([1]);
    await levels.next();
    failing.with = new Error('the database is away');
    await expect(levels.next()).rejects.toThrow('stock levels cannot be read here just now; watch again');
    delete failing.with;
    expect((await open([1]).next()).value).toEqual(level(1, 0));
    await watch.stop();
  });

  test('is refused where too many watch', async () => {
    const { watch, open } = watched({ mostWatches: 1 });
    await open([1]).next();
    await expect(open([1]).next()).rejects.toThrow('1 watches are open here; try again later');
    await watch.stop();
  });
});
