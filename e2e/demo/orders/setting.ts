import { pick, type Weighted } from '../../traffic/random.ts';
import { watchableCanary } from '../slice-tour.ts';

/** Whoever dies is followed soon, and what became of a charge is soon found out. By the name or kind of a process. */
export const patientWithNobody = {
  monolith: {
    ...{ PAYMENT_TIMEOUT: '1s', PAYMENT_CHECK_AFTER: '1s', PAYMENT_RECONCILE_EVERY: '500ms' },
    PAYMENT_ABANDON_AFTER: '15s',
  },
  payments: {
    ...{ PROVIDER_TIMEOUT: '1s', IDEMPOTENCY_LEASE: '4s', CIRCUIT_RESET: '2s', CIRCUIT_VOLUME: '50' },
    ...{ FIRST_CHECK: '1s', LONGEST_CHECK: '3s', RECONCILE_EVERY: '500ms', ABANDON_AFTER: '15s' },
  },
  orders: {
    ...{ INVENTORY_TIMEOUT: '4s', PAYMENTS_TIMEOUT: '4s', SAGA_LEASE: '6s', CARD_KEPT: '8s', CHARGE_GRACE: '12s' },
    ...{ SAGA_EVERY: '500ms', LONGEST_PAUSE: '2s' },
    // A cut-over waits five seconds for the writes that are under way.
    CHECKOUT_WAIT: '3s',
  },
};

/** Customers look at their orders far more rarely than they buy. */
export const canaryOfFew = { gates: { canary: { ...watchableCanary.gates.canary, minSamples: 8 } } };

const cards: Weighted<string> = [
  [70, 'tok_visa'],
  [10, 'tok_decline'],
  [5, 'tok_late_webhook'],
  [3, 'tok_late_decline'],
  [3, 'tok_timeout'],
  [4, 'tok_double_webhook'],
];

/** The card of somebody's next checkout: most are good, some are decided late, or twice, or not at all. */
export const someCard = (random: () => number): string => pick(cards, random);
