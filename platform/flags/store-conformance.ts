import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { formatFlagDocument, initialFlagDocument } from '../contracts/flag-document.ts';
import { eventually } from '../testing/servers.ts';
import { changeFlag } from './change-flag.ts';
import type { FlagListing, FlagStore } from './store.ts';

/** One store under test, empty at the start, and a second handle on the same documents, as another process would have. */
export type StoreUnderTest = {
  store: FlagStore;
  other: FlagStore;
  /** Puts text where the slice's document stands, behind the store's back. */
  vandalise(slice: string, text: string): Promise<void>;
  close(): Promise<void>;
};

/** What every flag store promises, as tests. */
export const describeFlagStore = (name: string, open: () => Promise<StoreUnderTest>): void => {
  describe(`a flag store in ${name}`, () => {
    let under: StoreUnderTest;
    let watching: AbortController;
    beforeEach(async () => {
      under = await open();
      watching = new AbortController();
    });
    afterEach(async () => {
      watching.abort();
      await under.close();
    });

    const author = { by: 'ada', reason: 'trying' };
    const setReads = (store: FlagStore, slice: string, percent: number) =>
      changeFlag(store, slice, (document) => ({ ...document, reads: { ...document.reads, percent } }), author);
    const watched = (
      store: FlagStore,
    ): { latest: () => FlagListing | undefined; errors: Error[]; calls: () => number } => {
      let latest: FlagListing | undefined;
      let calls = 0;
      const errors: Error[] = [];
      store.watch(
        {
          onChange: (listing) => {
            latest = listing;
            calls += 1;
          },
          onError: (error) => errors.push(error),
        },
        watching.signal,
      );
      return { latest: () => latest, errors, calls: () => calls };
    };

    test('knows nothing of a slice never spoken of', async () => {
      expect(await under.store.get('catalog')).toBeUndefined();
      expect(await under.store.history('catalog', 10)).toEqual([]);
      expect((await under.store.list()).flags.size).toBe(0);
    });

    test('gives back what was put, to another process too', async () => {
      const document = await setReads(under.store, 'catalog', 12.5);
      expect((await under.other.get('catalog'))?.document).toEqual(document);
      expect([...(await under.other.list()).flags.keys()]).toEqual(['catalog']);
    });

    test('lets only one of two operators win who looked at the same document', async () => {
      await setReads(under.store, 'catalog', 10);
      const mine = await under.store.get('catalog');
      const theirs = await under.other.get('catalog');
      const edited = { ...mine!.document, reads: { percent: 20, cohorts: [] } };
      expect(await under.store.put(edited, mine!.index)).toBe('written');
      expect(await under.other.put({ ...edited, reads: { percent: 0, cohorts: [] } }, theirs!.index)).toBe('conflict');
      expect((await under.other.get('catalog'))?.document.reads.percent).toBe(20);
    });

    test('creates a document only where there is none', async () => {
      const document = initialFlagDocument('catalog', {
        id: 'c1',
        by: 'ada',
        at: new Date().toISOString(),
        reason: '',
      });
      expect(await under.store.put(document, null)).toBe('written');
      expect(await under.other.put(document, null)).toBe('conflict');
    });

    test('lets exactly one of twenty simultaneous changes win each round', async () => {
      for (let round = 1; round <= 3; round += 1) {
        const outcomes = await Promise.allSettled(
          Array.from({ length: 20 }, (_, one) =>
            setReads(one % 2 ? under.store : under.other, 'catalog', round * 20 + one / 100),
          ),
        );
        const winners = outcomes.filter((outcome) => outcome.status === 'fulfilled');
        expect(winners.length).toBeGreaterThanOrEqual(1);
        const history = await under.store.history('catalog', 100);
        const written = new Set(history.map((document) => document.change.id));
        for (const winner of winners) expect(written.has(winner.value.change.id)).toBe(true);
        for (const outcome of outcomes) {
          if (outcome.status === 'rejected')
            expect(String(outcome.reason)).toMatch(/ada changed the flags at|somebody/);
        }
      }
    });

    test('keeps every change in its history, newest first, as many as are asked for', async () => {
      for (const percent of [1, 2, 3, 0]) await setReads(under.store, 'catalog', percent);
      await setReads(under.store, 'orders', 50);
      const history = await under.other.history('catalog', 3);
      expect(history.map((document) => document.reads.percent)).toEqual([0, 3, 2]);
      expect(history[0]?.change).toMatchObject({ by: 'ada', reason: 'trying' });
    });

    test('tells a watcher what stands, then every change', async () => {
      await setReads(under.store, 'catalog', 10);
      const watch = watched(under.other);
      await eventually(() => expect(watch.latest()?.flags.get('catalog')?.document.reads.percent).toBe(10));
      await setReads(under.store, 'catalog', 90);
      await eventually(() => expect(watch.latest()?.flags.get('catalog')?.document.reads.percent).toBe(90));
      await setReads(under.store, 'orders', 5);
      await eventually(() => expect([...(watch.latest()?.flags.keys() ?? [])].sort()).toEqual(['catalog', 'orders']));
      expect(watch.errors).toEqual([]);
    });

    test('tells a watcher that there is nothing, where there is nothing', async () => {
      const watch = watched(under.store);
      await eventually(() => expect(watch.latest()?.flags.size).toBe(0));
    });

    test('refuses a document that does not parse, says so, and still obeys the others', async () => {
      await setReads(under.store, 'orders', 5);
      await setReads(under.store, 'catalog', 10);
      const watch = watched(under.other);
      await eventually(() => expect(watch.latest()?.flags.size).toBe(2));
      await under.vandalise('catalog', '{"slice":"catalog","stage":"soon"}');
      await eventually(() => expect(watch.latest()?.refused.get('catalog')?.message).toMatch(/stage/));
      expect(watch.latest()?.flags.get('orders')?.document.reads.percent).toBe(5);
      await expect(under.store.get('catalog')).rejects.toThrow(/stage/);
    });

    test('is silent after a watch is ended', async () => {
      const watch = watched(under.other);
      await eventually(() => expect(watch.calls()).toBe(1));
      watching.abort();
      await setReads(under.store, 'catalog', 10);
      await eventually(async () => expect(await under.other.get('catalog')).toBeDefined());
      expect(watch.calls()).toBe(1);
    });

    test('keeps what was written exactly as it was formatted', async () => {
      const document = await setReads(under.store, 'catalog', 33.33);
      const stored = await under.store.get('catalog');
      expect(formatFlagDocument(stored!.document)).toBe(formatFlagDocument(document));
    });
  });
};
