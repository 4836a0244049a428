import { eventually } from '@strangler/platform/testing/eventually.ts';
import { decodeJwt } from 'jose';
import type { Pool } from 'mysql2/promise';
import { request } from 'undici';
import { createCustomer } from '../../traffic/customer.ts';
import { pick, seededRandom, type Weighted } from '../../traffic/random.ts';
import { spread } from '../../traffic/tally.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import { type BookFault, bookFaults, readBooks, totalsOf } from '../payments/books.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { fillShelves, logInCustomers, someProducts } from '../shoppers.ts';
import { createSliceTour, watchableCanary } from '../slice-tour.ts';
import { countRows, type ShopStage, withShop } from '../with-shop.ts';

export type PaymentsReport = {
  ok: boolean;
  bounds: Bound[];
  requests: { total: number; failed: number };
  orders: { confirmed: number; cancelled: number; placedAtService: number };
  /** In the end, in cents. */
  money: { takenCents: number; refundedCents: number; confirmedCents: number };
  faults: BookFault[];
  cutovers: number;
  killed: string[];
  rows: { compared: number; different: number };
  deadLettered: number;
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

const slice = 'payments';

/** Nobody waits long for a provider that does not answer, and what it has done is soon found out. */
const quickly = {
  monolith: {
    PAYMENT_TIMEOUT: '1s',
    PAYMENT_CHECK_AFTER: '1s',
    PAYMENT_RECONCILE_EVERY: '500ms',
    PAYMENT_ABANDON_AFTER: '15s',
  },
  payments: {
    PROVIDER_TIMEOUT: '1s',
    IDEMPOTENCY_LEASE: '4s',
    CIRCUIT_RESET: '2s',
    CIRCUIT_VOLUME: '50',
    FIRST_CHECK: '1s',
    LONGEST_CHECK: '3s',
    RECONCILE_EVERY: '500ms',
    ABANDON_AFTER: '15s',
  },
};

/** Everything that a provider does to a shop. */
const cards: Weighted<string> = [
  [60, 'tok_visa'],
  [8, 'tok_decline'],
  [3, 'tok_timeout'],
  [2, 'tok_lost'],
  [4, 'tok_broken'],
  [3, 'tok_unavailable'],
  [5, 'tok_late_webhook'],
  [3, 'tok_late_decline'],
  [5, 'tok_double_webhook'],
  [4, 'tok_no_webhook'],
  [3, 'tok_out_of_order'],
];

/**
 * The payments to their service, back, to it again, and there for good, while customers pay and cancel, the provider goes wrong in every way, and
 * the service is killed. Each time that nobody buys, the provider's books are held against payments and orders.
 */
export const runPaymentsScenario = (options: ScenarioOptions): Promise<PaymentsReport> =>
  withShop(
    options,
    {
      ...{ stage: 'monolith', paymentsInstances: 2, env: quickly },
      ...{ overlays: { [slice]: watchableCanary }, reads: ['monolith', 'payments'] },
    },
    (stage) => tell(stage, options),
  );

const tell = async (
  { shop, flags, pools, connections }: ShopStage<'monolith' | 'payments'>,
  options: ScenarioOptions,
): Promise<PaymentsReport> => {
  const { progress, signal } = options;
  const { proxyUrls, operatorToken } = shop;
  const providerUrl = shop.system.paymentProviderUrl;
  const random = seededRandom(42);
  const productIds = (await someProducts(shop, connections)).slice(0, 20);
  await fillShelves(shop, productIds, connections);
  await request(`${providerUrl}/control`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ error_rate: 0.03, error_after_charge_rate: 0.03, late_ms: 700 }),
  }).then(({ body }) => body.dump());
  const tokens = await logInCustomers(shop, 16, 'customer', connections);
  const accountIds = tokens.map((token) => Number(decodeJwt(token).sub));
  const cardToken = () => pick(cards, random);
  const shared = { proxyUrls, operatorToken, productIds, random, cardToken, dispatcher: connections };
  const visitors = tokens.map((accessToken, at) =>
    createCustomer({ ...shared, name: `customer ${at + 1}`, accessToken }),
  );
  const tour = createSliceTour({ slice, shop, flags, visitors, random, options });
  const ownerOf = async (): Promise<Pool> =>
    (await tour.flag()).writes.owner === 'service' ? pools.payments : pools.monolith;
  /** Nothing is left to be found out. */
  const isSettled = async (): Promise<boolean> => {
    const open =
      (await countRows(
        await ownerOf(),
        "SELECT COUNT(*) AS n FROM payments WHERE account_id IN (?) AND status IN ('pending', 'cancelling', 'refunding')",
        [accountIds],
      )) +
      (await countRows(pools.monolith, 'SELECT COUNT(*) AS n FROM payment_errands WHERE done_at IS NULL')) +
      (await countRows(
        pools.monolith,
        "SELECT COUNT(*) AS n FROM orders WHERE account_id IN (?) AND status = 'awaiting_payment'",
        [accountIds],
      ));
    return open === 0;
  };
  const faults: BookFault[] = [];
  const holdUp = async () => {
    await eventually(isSettled, { withinMs: 90_000, signal }).catch(() => progress.say('  not everything is settled'));
    const books = await readBooks({ providerUrl, owner: await ownerOf(), monolith: pools.monolith }, accountIds);
    const found = bookFaults(books);
    faults.push(...found);
    for (const { what, orderId, expected, found: is } of found.slice(0, 10))
      progress.say(`FOUND ${what}${orderId === null ? '' : ` (order ${orderId})`}: expected ${expected}, found ${is}`);
    const { takenCents, refundedCents, confirmedCents } = totalsOf(books);
    progress.say(
      `  ${books.orders.length} orders: ${takenCents} cents taken, ${confirmedCents} of confirmed orders, ${refundedCents} given back; ${found.length} faults`,
    );
    await tour.verify();
    return books;
  };

  await tour.busy(async () => {
    await tour.watch();
    await tour.toService(() => tour.kill('payments-1', ''));
    await tour.kill('payments-2', ', while it charges');
    await tour.watch();
  });
  await holdUp();
  const placedAtService = await countRows(
    pools.monolith,
    "SELECT COUNT(*) AS n FROM payment_errands WHERE kind = 'charge'",
  );
  await tour.busy(async () => {
    await tour.watch();
    await tour.backToMonolith();
    await tour.watch();
  });
  await holdUp();
  await tour.busy(() => tour.toService(() => tour.kill('payments-1', '')));
  await holdUp();
  await tour.busy(() => tour.end());
  const books = await holdUp();
  const { stage } = await tour.flag();

  const { total, failed, durationsMs, failures } = tour.tally();
  const { cutovers, killed, compared, different, deadLettered } = tour.figures;
  const confirmed = books.orders.filter(({ status }) => status === 'paid' || status === 'shipped').length;
  const cancelled = books.orders.filter(({ status }) => status === 'cancelled').length;
  const bounds = [
    atMost('failed requests', failed, 0),
    atMost('faults of the books', faults.length, 0),
    atMost('rows that differ', different, 0),
    atMost('dead letters', deadLettered, 0),
    atLeast('confirmed orders', confirmed, 30),
    atLeast('orders whose money was given back or never taken', cancelled, 5),
    atLeast('orders that were placed while the service had the payments', placedAtService, 5),
    atLeast('cut-overs', cutovers, 3),
    atLeast('killed', killed.length, 3),
    atLeast('slices at their end', stage === 'complete' ? 1 : 0, 1),
  ];
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    requests: { total, failed },
    orders: { confirmed, cancelled, placedAtService },
    money: totalsOf(books),
    faults,
    cutovers,
    killed,
    rows: { compared, different },
    deadLettered,
    latencyMs: spread(durationsMs),
    failures: failures.map(({ action, failure }) => ({ action, failure })),
  };
};
