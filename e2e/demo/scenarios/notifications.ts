import { eventually } from '@strangler/platform/testing/eventually.ts';
import { decodeJwt } from 'jose';
import { createCustomer } from '../../traffic/customer.ts';
import { seededRandom } from '../../traffic/random.ts';
import { spread } from '../../traffic/tally.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import { type Account, accountFor, type Happening } from '../notifications/account-for.ts';
import { mailsOf, shown, toldByTheShop, writtenDown } from '../notifications/evidence.ts';
import { type Listener, startListener } from '../notifications/listener.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { fillShelves, logInCustomers, someProducts } from '../shoppers.ts';
import { createSliceTour, watchableCanary } from '../slice-tour.ts';
import { type ShopStage, withShop } from '../with-shop.ts';

export type NotificationsReport = {
  ok: boolean;
  bounds: Bound[];
  requests: { total: number; failed: number };
  /** What has happened to orders, and which side told it. */
  happenings: { total: number; toldByMonolith: number; toldByService: number };
  cutovers: number;
  killed: string[];
  /** On the WebSockets, in the lists, and in both sides' tables. */
  channels: Record<'streams' | 'lists' | 'monolithRows' | 'serviceRows', Record<keyof Account, number>>;
  mails: { sent: number; missing: number; givenUp: number; copies: number; doubtful: number; uncalledFor: number };
  returns: number;
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

const slice = 'notifications';

/** Whoever is killed leaves his jobs to others soon. */
const quickly = {
  notifications: { SMTP_TIMEOUT: '4s', JOB_LEASE: '10s', JOB_LOCK: '5s', LOST_AFTER: '5s', SWEEP_EVERY: '1s' },
  mailbox: { MAX_MAILS: '100000' },
};

/**
 * The telling of customers to its service, back, to it again and to the end, while customers buy, cancel and listen. Nothing
 * moves: both sides hear of everything, and one of them tells. What every customer was told is counted afterwards.
 */
export const runNotificationsScenario = async (options: ScenarioOptions): Promise<NotificationsReport> => {
  const listeners: Listener[] = [];
  try {
    return await withShop(
      options,
      {
        ...{ stage: 'monolith', notificationsInstances: 2, env: quickly },
        ...{ overlays: { [slice]: watchableCanary }, reads: ['monolith', 'notifications'] },
      },
      (stage) => tell({ ...stage, listeners }, options),
    );
  } finally {
    for (const listener of listeners) listener.close();
  }
};

type Stage = ShopStage<'monolith' | 'notifications'> & { listeners: Listener[] };

const tell = async (
  { shop, flags, pools, connections, listeners }: Stage,
  options: ScenarioOptions,
): Promise<NotificationsReport> => {
  const { progress, signal } = options;
  const { proxyUrls, operatorToken } = shop;
  const random = seededRandom(42);
  const productIds = (await someProducts(shop, connections)).slice(0, 20);
  await fillShelves(shop, productIds, connections);
  const tokens = await logInCustomers(shop, 16, 'customer', connections);
  const customers = tokens.map((accessToken) => ({ accessToken, accountId: Number(decodeJwt(accessToken).sub) }));
  const accountIds = customers.map(({ accountId }) => accountId);
  const shared = { proxyUrls, operatorToken, productIds, random, dispatcher: connections };
  const visitors = tokens.map((accessToken, at) =>
    createCustomer({ ...shared, name: `customer ${at + 1}`, accessToken }),
  );
  listeners.push(...tokens.map((accessToken) => startListener({ proxyUrls, accessToken, random })));
  const tour = createSliceTour({ slice, shop, flags, visitors, random, options });

  const told = (): Happening[] =>
    listeners.flatMap((listener, at) =>
      listener.told.map(({ orderId, kind }) => ({ accountId: accountIds[at]!, orderId, kind })),
    );
  /** Nobody buys, and everything has been heard of by everybody. */
  const settle = async (): Promise<Happening[]> => {
    const expected = await toldByTheShop(pools.monolith, accountIds);
    await eventually(async () => (await writtenDown(pools.notifications, accountIds)).length >= expected.length, {
      withinMs: 60_000,
      signal,
    });
    await eventually(() => told().length >= expected.length, { withinMs: 30_000, signal }).catch(() => {});
    const { missing, doubled } = accountFor(expected, told());
    progress.say(
      `  ${expected.length} things have happened: ${missing.length} not told yet, ${doubled.length} told twice`,
    );
    return expected;
  };

  await tour.busy(async () => {
    await tour.watch();
    await tour.toService(() => tour.kill('notifications-1', ''));
  });
  await settle();
  await tour.busy(async () => {
    await tour.kill('notifications-2', ', while it tells');
    await tour.watch();
    await tour.backToMonolith();
    await tour.watch();
  });
  await settle();
  await tour.busy(() => tour.toService(() => tour.kill('notifications-1', '')));
  await settle();
  await tour.busy(async () => {
    await tour.end();
  });
  const expected = await settle();
  await eventually(async () => (await mailsOf(shop.system.mailboxUrl, pools.notifications)).open === 0, {
    withinMs: 90_000,
    signal,
  });

  const streams = accountFor(expected, told());
  const lists = accountFor(
    expected,
    (
      await Promise.all(
        customers.map(({ accountId, accessToken }, at) =>
          shown(proxyUrls[at % proxyUrls.length]!, accountId, accessToken),
        ),
      )
    ).flat(),
  );
  const monolithRows = accountFor(expected, await writtenDown(pools.monolith, accountIds));
  const serviceRows = accountFor(expected, await writtenDown(pools.notifications, accountIds));
  const toldByService = (await writtenDown(pools.notifications, accountIds, "delivered_by = 'service'")).length;
  const mails = await mailsOf(shop.system.mailboxUrl, pools.notifications);
  for (const [channel, account] of Object.entries({ streams, lists, monolithRows, serviceRows }))
    for (const [fault, found] of Object.entries(account))
      for (const { accountId, orderId, kind } of found.slice(0, 5))
        progress.say(`FOUND ${channel}: ${fault}: ${kind} of order ${orderId}, account ${accountId}`);

  const { total, failed, durationsMs, failures } = tour.tally();
  const count = ({ missing, doubled, strange }: Account) => missing.length + doubled.length + strange.length;
  const returns = listeners.reduce((sum, listener) => sum + listener.returns(), 0);
  const bothSides = listeners.filter((listener) => listener.sides().size === 2).length;
  const { stage } = await tour.flag();
  const { cutovers, killed } = tour.figures;
  const bounds = [
    atMost('failed requests', failed, 0),
    atMost('happenings that a WebSocket left out', streams.missing.length, 0),
    atMost(
      'happenings that a WebSocket told twice, or that have not happened',
      streams.doubled.length + streams.strange.length,
      0,
    ),
    atMost('faults of the lists', count(lists), 0),
    atMost('faults of the rows', count(monolithRows) + count(serviceRows), 0),
    atMost('mails that are missing, and that no doubtful job tells of', mails.missing - mails.givenUp, 0),
    atMost(
      'mails beyond one of a notification, not counted as doubtful',
      Math.max(0, mails.copies - mails.doubtful),
      0,
    ),
    atMost('mails of what the monolith told', mails.uncalledFor, 0),
    atLeast('happenings', expected.length, 60),
    atLeast('told by the service', toldByService, 20),
    atLeast('told by the monolith', expected.length - toldByService, 20),
    atLeast('customers who were told by both sides', bothSides, 4),
    atLeast('cut-overs', cutovers, 3),
    atLeast('killed', killed.length, 3),
    atLeast('slices that are complete in the end', stage === 'complete' ? 1 : 0, 1),
  ];
  const sizes = ({ missing, doubled, strange }: Account) => ({
    missing: missing.length,
    doubled: doubled.length,
    strange: strange.length,
  });
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    requests: { total, failed },
    happenings: { total: expected.length, toldByMonolith: expected.length - toldByService, toldByService },
    cutovers,
    killed,
    channels: {
      streams: sizes(streams),
      lists: sizes(lists),
      monolithRows: sizes(monolithRows),
      serviceRows: sizes(serviceRows),
    },
    mails: {
      sent: mails.mails,
      missing: mails.missing,
      givenUp: mails.givenUp,
      copies: mails.copies,
      doubtful: mails.doubtful,
      uncalledFor: mails.uncalledFor,
    },
    returns,
    latencyMs: spread(durationsMs),
    failures: failures.map(({ action, failure }) => ({ action, failure })),
  };
};
