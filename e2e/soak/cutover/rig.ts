import { join } from 'node:path';
import { readJournals } from '@strangler/migrations/engine/cutover/journal-table.ts';
import type { CutoverJournal } from '@strangler/platform/contracts/cutover-journal.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { stackHome } from '@strangler/stack/home/paths.ts';
import type { OperatorEnvironment } from '@strangler/stack/system/stage.ts';
import { operatorEnvironment } from '@strangler/stack/system/system.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { Agent } from 'undici';
import { type CutoverFindings, checkCutovers } from '../../checker/check-cutovers.ts';
import { type HistoryLog, openHistoryLog, readHistory } from '../../checker/history-log.ts';
import type { Operation } from '../../checker/operation.ts';
import { ownershipOf } from '../../checker/pauses.ts';
import { type BothDatabases, readCheckedRows, readEvidence } from '../../checker/read-evidence.ts';
import type { Progress } from '../../demo/progress.ts';
import { openShop, type Shop } from '../../demo/shop.ts';
import { logInAdmin } from '../../demo/shoppers.ts';
import { type Crowd, startCrowd } from '../../traffic/crowd.ts';
import { seededRandom } from '../../traffic/random.ts';
import {
  type CheckedProduct,
  type CheckedShop,
  checkedPrefix,
  countedPriceCents,
  countPrices,
  createChecked,
  createCounted,
} from '../../traffic/recorded/checked-products.ts';
import { logInReviewers } from '../../traffic/recorded/log-in-reviewers.ts';
import { createRecordedMerchant } from '../../traffic/recorded/merchant.ts';
import { createRecordedReviewer, reviewTitle } from '../../traffic/recorded/reviewer.ts';
import { type SqlSession, startSqlJob, startSqlUpdates } from '../../traffic/recorded/sql-session.ts';
import { createTally, type TallyKeeper } from '../../traffic/tally.ts';
import type { Visit, Visitor } from '../../traffic/visitor.ts';
import { coordinate } from './coordinator.ts';

/** The slice that is moved. */
export const slice = 'catalog';

export type RigOptions = {
  instance: string;
  /** Of the shop, beside those that the checker knows. */
  products: number;
  /** Products on which the writers meet. */
  checkedProducts: number;
  merchants: number;
  reviewers: number;
  /** Of what merchants do; 0 to 1. */
  readShare: number;
  requestsPerSecond: number;
  /** Whether a SQL session and a job write the monolith's tables, past the proxies. */
  strays: boolean;
  seed: number;
  /** Where the catalogue stands when the first client comes; `reads` unless told. */
  begin?: 'reads' | 'monolith';
  /** 2 unless told. */
  workersPerProxy?: number;
  /** Default: migrations/slices. */
  slicesFolder?: string;
  /** Leave everything running afterwards. */
  keep?: boolean;
  /** Clients beside those who log what they do. */
  others?: (shop: Shop, dispatcher: Agent) => Promise<Visitor[]>;
  /** Told of each request, before it is counted; what it gives is counted. */
  onVisit?: (visit: Visit) => Visit;
  progress: Progress;
  signal: AbortSignal;
};

/** A shop whose catalogue is ready to be cut over, and clients that write to it and log what they do. */
export type Rig = {
  shop: Shop;
  environment: OperatorEnvironment;
  keeper: TallyKeeper;
  strays: readonly SqlSession[];
  flag(): Promise<FlagDocument>;
  /** Of all cut-overs so far, the first one first. */
  journals(): Promise<CutoverJournal[]>;
  /** What was logged so far. */
  history(): Operation[];
  /** Logs in those who write and log it, where the catalogue did not stand at `reads` from the beginning: once it is captured. */
  invite(): Promise<void>;
  /**
   * Once traffic has stopped and the slice is at `monolith` again: begins another history, of products that nobody has
   * written yet. @returns how many triggers and tables of the pipe there still are in the monolith's database
   */
  beginAnew(): Promise<number>;
  startTraffic(): void;
  stopTraffic(): Promise<void>;
  /** Waits until both pipes are empty, as far as they become so, and judges everything that was logged. */
  judge(): Promise<CutoverFindings>;
  close(): Promise<void>;
};

const emptyWithinMs = 60_000;
/** A pool of connections to each proxy wide enough that a held write does not keep another one from being sent. */
const connectionsPerProxy = 512;

/** Brings everything up and takes the catalogue to `reads`. */
export const openRig = async (options: RigOptions): Promise<Rig> => {
  const { instance, products, seed, progress, signal, requestsPerSecond } = options;
  const { begin = 'reads', keep = false, others = async () => [], onVisit = (visit) => visit } = options;
  const shop = await openShop({
    ...{ instance, products, keep, progress, signal },
    ...(begin === 'monolith' ? { stage: begin } : {}),
    ...(options.workersPerProxy === undefined ? {} : { workersPerProxy: options.workersPerProxy }),
    ...(options.slicesFolder === undefined ? {} : { slicesFolder: options.slicesFolder }),
  });
  const closers: (() => Promise<unknown> | unknown)[] = [() => shop.close()];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const environment = operatorEnvironment(shop.system);
    const log = createLog({ name: 'soak', level: 'silent' });
    const { store, close: closeStore } = openFlagStore(shop.flagStore, { log });
    closers.push(closeStore);
    const monolith = createPool(shop.system.databases.mover.shopUrl, { connectionLimit: 2 });
    const service = createPool(shop.system.databases.mover.catalogUrl, { connectionLimit: 2 });
    closers.push(
      () => monolith.end(),
      () => service.end(),
    );
    const flag = async () => {
      const document = (await store.get(slice))?.document;
      if (document === undefined) throw new Error(`expected flags of ${slice}, found none`);
      return document;
    };
    if (begin === 'reads') await toReads(environment, flag, { progress, signal });

    const dispatcher = new Agent({ connections: connectionsPerProxy, keepAliveTimeout: 4_000 });
    closers.push(() => dispatcher.close());
    // It stays there until the next run, for whoever wants to know more of what was found.
    let file = join(stackHome().instance(instance), 'history.jsonl');
    let history = openHistoryLog(file);
    closers.push(() => history.close());
    const random = seededRandom(seed);
    const guests = await others(shop, dispatcher);
    let clients: Clients | undefined;
    const invite = async () => {
      clients = await inviteClients(shop, options, { history, random, dispatcher });
      progress.say(`${clients.visitors.length} clients log what they do in ${file}`);
    };
    if (begin === 'reads') await invite();

    const keeper = createTally();
    const urls: BothDatabases = {
      monolith: shop.system.databases.mover.shopUrl,
      service: shop.system.databases.mover.catalogUrl,
    };
    const strays: SqlSession[] = [];
    let crowd: Crowd | undefined;
    const stopTraffic = async () => {
      await crowd?.stop();
      await Promise.all(strays.map((stray) => stray.stop()));
    };
    closers.push(stopTraffic);
    const journals = async () => (await readJournals(monolith, slice, 10_000)).reverse();
    return {
      shop,
      environment,
      keeper,
      strays,
      flag,
      journals,
      history: () => readHistory(file),
      invite,
      async beginAnew() {
        history.close();
        file = join(stackHome().instance(instance), 'history-2.jsonl');
        history = openHistoryLog(file);
        await renameChecked(monolith);
        return await countLeftOver(monolith);
      },
      startTraffic() {
        if (clients === undefined) throw new Error('expected clients to be invited first, found none');
        crowd = startCrowd({
          shoppers: [...clients.visitors, ...guests],
          requestsPerSecond,
          onVisit: (visit) => keeper.add(onVisit(visit)),
          random,
        });
        strays.push(...clients.startStrays());
      },
      stopTraffic,
      async judge() {
        await untilEmpty({ monolith, service, urls, progress, signal });
        const evidence = await readEvidence(urls);
        return checkCutovers({ ...evidence, history: readHistory(file), ownership: ownershipOf(await journals()) });
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
};

/** Goes past the gates of the canary, which wants more traffic and time than a soak has for it. */
const toReads = async (
  environment: OperatorEnvironment,
  flag: () => Promise<FlagDocument>,
  { progress, signal }: Pick<RigOptions, 'progress' | 'signal'>,
): Promise<void> => {
  const words = ['advance', slice, '--force', '--reason', 'the soak needs no canary'];
  for (let left = 60; (await flag()).stage !== 'reads'; left -= 1) {
    const end = await coordinate(words, { environment, signal });
    if (end.outcome === 'done') continue;
    if (left === 0 || end.outcome !== 'refused') throw new Error(`strangler ${words.join(' ')}: ${end.said}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  progress.say(`slice ${slice} at stage reads`);
};

/** The checker knows its rows by their names: those of an earlier history get others. */
const renameChecked = async (monolith: Pool): Promise<void> => {
  await monolith.query(
    `UPDATE products SET sku = REPLACE(sku, ?, 'EARLIER-'), price_cents = LEAST(price_cents, ? - 1) WHERE sku LIKE ?`,
    [checkedPrefix, countedPriceCents, `${checkedPrefix}%`],
  );
  await monolith.query(`UPDATE reviews SET title = REPLACE(title, ?, 'Earlier ') WHERE title LIKE ?`, [
    `${reviewTitle} `,
    `${reviewTitle} %`,
  ]);
};

/** Outbox and inbox are the shop’s own: it records its events in the one, and hears of payments by the other. */
const countLeftOver = async (monolith: Pool): Promise<number> => {
  const [rows] = await monolith.query<RowDataPacket[]>(
    `SELECT (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME LIKE 'strangler\\_%')
          + (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'strangler\\_%'
             AND TABLE_NAME NOT LIKE 'strangler\\_outbox%' AND TABLE_NAME <> 'strangler_inbox') AS n`,
  );
  return Number(rows[0]?.n);
};

type Clients = { visitors: Visitor[]; startStrays(): SqlSession[] };

type Meeting = { history: HistoryLog; random: () => number; dispatcher: Agent };

const inviteClients = async (
  shop: Shop,
  { checkedProducts, merchants, reviewers, readShare, strays }: RigOptions,
  { history, random, dispatcher }: Meeting,
): Promise<Clients> => {
  const adminToken = await logInAdmin(shop, dispatcher);
  const { proxyUrls, operatorToken } = shop;
  const checked: CheckedShop = { proxyUrls, adminToken, operatorToken };
  const categoryId = await anyCategory(shop);
  const prices = countPrices();
  const common = { categoryId, dispatcher };
  const products = await createChecked(checked, { ...common, log: history, count: checkedProducts, prices });
  const counted: CheckedProduct[] = strays ? await createCounted(checked, { ...common, count: 3 }) : [];
  const shared = { proxyUrls, operatorToken, dispatcher, log: history, products };
  const desks = Array.from({ length: merchants }, (_, n) =>
    createRecordedMerchant({
      ...{ ...shared, name: `merchant ${n + 1}`, accessToken: adminToken },
      ...{ categoryId, prices, readShare, random },
    }),
  );
  const customers = (await logInReviewers(shop.proxyUrls[0]!, reviewers, dispatcher)).map((account, n) =>
    createRecordedReviewer({ ...shared, ...account, name: `reviewer ${n + 1}` }),
  );
  const url = shop.system.databases.shopUrl;
  return {
    visitors: [...desks, ...customers],
    startStrays: () =>
      strays
        ? [
            startSqlUpdates({ url, client: 'sql session', log: history, random, everyMs: 40, products, prices }),
            startSqlJob({ url, client: 'job', log: history, random, everyMs: 250, products: counted }),
          ]
        : [],
  };
};

const anyCategory = async (shop: Shop): Promise<number> => {
  const answer = await fetch(`${shop.proxyUrls[0]}/api/categories`);
  const { items } = (await answer.json()) as { items: { id: number }[] };
  return items[0]!.id;
};

type Emptying = { monolith: Pool; service: Pool; urls: BothDatabases } & Pick<RigOptions, 'progress' | 'signal'>;

/** Whatever is not the same on both sides by then, the checker tells. */
const untilEmpty = async ({ monolith, service, urls, progress, signal }: Emptying): Promise<void> => {
  const unpublished = async (db: Pool): Promise<number> => {
    const [rows] = await db.query<RowDataPacket[]>('SELECT COUNT(*) AS n FROM strangler_outbox WHERE published = 0');
    return Number(rows[0]?.n);
  };
  await eventually(
    async () => {
      signal.throwIfAborted();
      const waiting = (await unpublished(monolith)) + (await unpublished(service));
      if (waiting > 0) throw new Error(`${waiting} changes are not published`);
      const rows = await readCheckedRows(urls);
      const other = [...rows.monolith].filter(([key, value]) => rows.service.get(key) !== value).length;
      if (other > 0 || rows.monolith.size !== rows.service.size)
        throw new Error(`${other} of ${rows.monolith.size} rows are not the same, of ${rows.service.size}`);
    },
    { withinMs: emptyWithinMs },
  ).catch((error: Error) => progress.say(`the pipes did not become empty: ${error.message}`));
};
