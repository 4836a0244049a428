import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { type Watch, watchPrefix } from '@strangler/platform/consul/watch.ts';
import type { CanaryStanding } from '@strangler/platform/contracts/canary.ts';
import { cutoverJournalSchema, cutoverKey } from '@strangler/platform/contracts/cutover-journal.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { holdKeys, liveProxySchema } from '@strangler/platform/contracts/hold-ack.ts';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import { figuresKeys, sliceFiguresSchema } from '@strangler/platform/contracts/slice-figures.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { orderKeys, sliceOrderSchema } from '@strangler/platform/contracts/slice-order.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import type { Log } from '@strangler/platform/log.ts';
import { type AskedProxy, askProxies } from '@strangler/platform/proxy-status/ask-proxies.ts';
import type { ReportReader } from '@strangler/platform/shadow-report/read-report.ts';
import type { z } from 'zod';
import type { Feed } from './feed.ts';
import { type ProxyView, type SliceView, viewOfProxies, viewOfSlice } from './snapshot.ts';
import { lookAtTraffic, type TrafficLook, type TrafficPoint, trafficBetween } from './traffic.ts';
import { type Trouble, troublesOf } from './troubles.ts';

export type WatchOptions = {
  slices: readonly Slice[];
  store: FlagStore;
  /** Null where flags are in a file: then nobody but this proxy is known, and nobody publishes figures. */
  consul: { client: ConsulClient; root: string } | null;
  /** This proxy's own. */
  own: { id: string; admin: () => string; status: () => Promise<ProxyStatus> };
  /** Null without Redis. */
  report: ReportReader | null;
  /** Whether Redis answers; null without it. */
  redisReady(): boolean | null;
  feed: Feed;
  log: Log;
  /** How often all proxies are asked while somebody looks on; a tenth as often while nobody does. Default 1000. */
  lookEveryMs?: number;
};

export type HistoryEntry = Pick<FlagDocument, 'stage' | 'epoch' | 'change'> & { percent: number; owner: string };

export type MismatchGroup = {
  id: string;
  endpoint: string;
  path: string;
  kind: string;
  count: number;
  last: string;
  accepted: { by: string; reason: string } | null;
  examples: string[];
};

export type Mismatches = {
  slice: string;
  /** Null: Redis did not answer. */
  report: { comparisons: number; unexplained: number; groups: MismatchGroup[] } | null;
};

/** All that a page shows, for one that begins or was away for long. */
export type Snapshot = {
  slices: SliceView[];
  proxies: ProxyView[];
  traffic: TrafficPoint[];
  mismatches: Mismatches[];
  history: { slice: string; changes: HistoryEntry[] }[];
  store: { location: string; reachable: boolean; why: string | null };
  /** What is away, worst first. */
  troubles: Trouble[];
  hasReport: boolean;
};

export type Watching = { snapshot(): Snapshot; lookSoon(): void; stop(): Promise<void> };

const maxPoints = 300;
const maxHistory = 50;
const maxGroups = 50;
/** Of the looks while somebody looks on, each so many-th asks for mismatches and reads the report anew. */
const reportEvery = 3;
const idleFactor = 10;

/** Gathers what is known of all slices, and tells the feed of what has changed. */
export const startWatching = (options: WatchOptions): Watching => {
  const { slices, store, consul, own, report, redisReady, feed, log, lookEveryMs = 1_000 } = options;
  const stopping = new AbortController();
  const flags = new Map<string, FlagDocument>();
  const refused = new Map<string, string>();
  const history = new Map<string, HistoryEntry[]>();
  const mismatches = new Map<string, Mismatches>();
  const traffic: TrafficPoint[] = [];
  const said = new Map<string, string>();
  let storeState: Snapshot['store'] = { location: store.location, reachable: false, why: 'not asked yet' };
  let asked: AskedProxy[] = [];
  let lastLook: TrafficLook | null = null;
  let looks = 0;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let addresses = new Map<string, string>();

  const statuses = (): ProxyStatus[] => asked.flatMap((one) => ('status' in one ? [one.status] : []));

  const canaryOf = (slice: string): CanaryStanding | null => {
    const standings = statuses()
      .flatMap(({ canaries }) => canaries?.filter((one) => one.slice === slice) ?? [])
      .flatMap(({ standing }) => (standing === null ? [] : [standing]));
    return standings.sort((one, other) => other.at.localeCompare(one.at))[0] ?? null;
  };

  const boards = consul === null ? null : openBoards(consul, () => tellSlices());
  const viewOf = ({ slice, service, tables }: Slice): SliceView =>
    viewOfSlice(
      {
        ...{ slice, service, flag: flags.get(slice), refused: refused.get(slice) ?? null, canary: canaryOf(slice) },
        keepsData: tables.length > 0,
        figures: boards?.figures.get(slice) ?? null,
        cutover: boards?.cutovers.get(slice) ?? null,
        order: boards?.orders.get(slice) ?? null,
      },
      statuses(),
    );

  /** Tells what is not as it was told before. */
  const tell = (kind: string, key: string, value: unknown): void => {
    const json = JSON.stringify(value);
    if (said.get(`${kind} ${key}`) === json) return;
    said.set(`${kind} ${key}`, json);
    feed.publish(kind, value);
  };
  const tellSlices = (): void => {
    for (const slice of slices) tell('slice', slice.slice, viewOf(slice));
  };

  const troubles = (): Trouble[] =>
    troublesOf({ asked, store: storeState, redisReady: redisReady(), slices: slices.map(viewOf) });

  const readHistory = async (slice: string): Promise<void> => {
    try {
      const documents = await store.history(slice, maxHistory);
      const changes = documents.map(({ stage, epoch, change, reads, writes }) => ({
        ...{ stage, epoch, change, percent: reads.percent, owner: writes.owner },
      }));
      history.set(slice, changes);
      tell('history', slice, { slice, changes });
    } catch (error) {
      log.warn({ err: error, slice }, 'the history of a slice could not be read for the dashboard');
    }
  };

  const readReport = async (slice: string): Promise<void> => {
    if (report === null) return;
    const [summary, groups] = await Promise.all([report.summary(slice), report.groups(slice)]);
    const read: Mismatches = {
      slice,
      report:
        summary === undefined || groups === undefined
          ? null
          : {
              comparisons: summary.comparisons,
              unexplained: summary.unexplained,
              groups: groups
                .slice(0, maxGroups)
                .map(({ id, endpoint, path, kind, count, last, accepted, examples }) => ({
                  ...{ id, endpoint, path, kind, count, examples, last: last.toISOString() },
                  accepted: accepted === null ? null : { by: accepted.by, reason: accepted.reason },
                })),
            },
    };
    mismatches.set(slice, read);
    tell('mismatches', slice, read);
  };

  const look = async (): Promise<void> => {
    const others = [...addresses].filter(([id]) => id !== own.id).map(([, address]) => address);
    const [mine, theirs] = await Promise.all([own.status(), askProxies(others)]);
    asked = [{ address: own.admin(), status: mine }, ...theirs];
    const now = lookAtTraffic(statuses(), Date.now());
    const point = lastLook === null ? null : trafficBetween(lastLook, now);
    lastLook = now;
    if (point !== null) {
      traffic.push(point);
      if (traffic.length > maxPoints) traffic.shift();
      feed.publish('traffic', point);
    }
    tellSlices();
    tell('proxies', '', viewOfProxies(asked));
    tell('troubles', '', troubles());
    if (looks % reportEvery === 0) await Promise.all(slices.map(({ slice }) => readReport(slice)));
    looks += 1;
  };

  const schedule = (inMs: number): void => {
    clearTimeout(timer);
    if (!stopping.signal.aborted) timer = setTimeout(run, inMs).unref();
  };
  const run = (): void => {
    looking ??= look()
      .catch((error: unknown) => log.warn({ err: error }, 'the dashboard could not look at the proxies'))
      .finally(() => {
        looking = undefined;
        schedule(feed.listeners() > 0 ? lookEveryMs : idleFactor * lookEveryMs);
      });
  };

  store.watch(
    {
      onChange(listing) {
        storeState = { ...storeState, reachable: true, why: null };
        tell('store', '', storeState);
        refused.clear();
        for (const [slice, fault] of listing.refused) refused.set(slice, fault.message);
        for (const { slice } of slices) {
          const document = listing.flags.get(slice)?.document;
          const isNew = document?.change.id !== flags.get(slice)?.change.id;
          if (document !== undefined) flags.set(slice, document);
          if (isNew || !history.has(slice)) void readHistory(slice);
        }
        tellSlices();
        // Proxies obey in milliseconds; what they do now is worth a look before the next one is due.
        if (feed.listeners() > 0) schedule(150);
      },
      onError(error) {
        storeState = { ...storeState, reachable: false, why: error.message };
        tell('store', '', storeState);
        tell('troubles', '', troubles());
      },
      onHealthy() {
        storeState = { ...storeState, reachable: true, why: null };
        tell('store', '', storeState);
        tell('troubles', '', troubles());
      },
    },
    stopping.signal,
  );
  const watches =
    consul === null
      ? []
      : [
          ...boards!.watches,
          watchPrefix(consul.client, holdKeys(consul.root).proxies, {
            onChange(entries) {
              addresses = new Map(
                [...entries.values()].flatMap(({ value }) => {
                  const proxy = read(liveProxySchema, value);
                  return proxy === null ? [] : [[proxy.id, proxy.admin] as const];
                }),
              );
            },
          }),
        ];
  schedule(lookEveryMs);

  return {
    snapshot: () => ({
      slices: slices.map(viewOf),
      proxies: viewOfProxies(asked),
      traffic: [...traffic],
      mismatches: [...mismatches.values()],
      history: [...history].map(([slice, changes]) => ({ slice, changes })),
      store: storeState,
      troubles: troubles(),
      hasReport: report !== null,
    }),
    lookSoon: () => schedule(0),
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      for (const watch of watches) watch.stop();
      await Promise.all([looking, ...watches.map(({ stopped }) => stopped)]);
    },
  };
};

/** What others put up in Consul, one key a slice. What cannot be read counts as not there. */
const openBoards = ({ client, root }: { client: ConsulClient; root: string }, onChange: () => void) => {
  const watches: Watch[] = [];
  const board = <T>(prefix: string, schema: z.ZodType<T>): Map<string, T> => {
    const content = new Map<string, T>();
    watches.push(
      watchPrefix(client, prefix, {
        onChange(entries) {
          content.clear();
          for (const [key, { value }] of entries) {
            const told = read(schema, value);
            if (told !== null) content.set(key.slice(prefix.length), told);
          }
          onChange();
        },
      }),
    );
    return content;
  };
  return {
    figures: board(figuresKeys(root).all, sliceFiguresSchema),
    cutovers: board(cutoverKey(root, ''), cutoverJournalSchema),
    orders: board(orderKeys(root).all, sliceOrderSchema),
    watches,
  };
};

const read = <T>(schema: z.ZodType<T>, text: string): T | null => {
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
};
