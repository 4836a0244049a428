import { randomBytes } from 'node:crypto';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import type { Clock } from '../clock.ts';
import type { Cart, Carts } from '../neighbours/carts.ts';
import { NoAnswer } from '../neighbours/no-answer.ts';
import type { Adoption } from '../saga/adopt.ts';
import type { SagaRunner } from '../saga/saga-runner.ts';
import { isDecided, newSale, type Timings } from '../saga/saga-state.ts';
import { isLeft, type Saga, type SagaStore } from '../saga/saga-store.ts';
import type { AnswerOnce, Run } from './answer-once.ts';

export type CheckoutRequest = {
  accountId: number;
  /** The customer's own Authorization header, for the cart. */
  authorization: string;
  /** The provider's token for the customer's card; never stored. */
  cardToken: string;
  /** What the customer was shown, if the client says so: another total is refused. */
  expectedTotalCents: number | undefined;
  /** How long to wait for the saga. */
  waitMs: number;
};

/** `running`: it takes longer than the request wanted to wait. */
export type CheckedOut = { kind: 'decided' | 'running'; saga: Saga };

/** Sells a cart. */
export type Checkout = {
  /**
   * Begins a saga, or goes on with the one that an earlier run of the request has left, and waits for it. Throws a 409
   * problem where the cart cannot be sold as it is, and 503 where somebody is away who is needed to order anything.
   */
  run(run: Run, request: CheckoutRequest): Promise<CheckedOut>;
};

/** How often a cart is looked at again that was changed while it was being sold. */
const mostLooks = 3;

export function createCheckout({
  store,
  runner,
  carts,
  adoption,
  answerOnce,
  clock,
  timings,
}: {
  store: SagaStore;
  runner: SagaRunner;
  carts: Carts;
  adoption: Adoption;
  answerOnce: AnswerOnce;
  clock: Clock;
  timings: Timings;
}): Checkout {
  const decided = ({ state }: Saga) => isDecided(state, clock.now().getTime(), timings);

  /** The saga that an earlier run has left, if it is one to go on with. */
  const left = async (run: Run): Promise<Saga | undefined> => {
    if (run.sagaId !== null) {
      const saga = await store.read({ id: run.sagaId });
      if (saga !== undefined && isLeft(saga)) {
        return store.inTransaction((transaction) => adoption.sagaOf(saga.orderId!, transaction));
      }
      const cameToNothing = saga?.state.why === 'gave_up' || saga?.state.why === 'cart_changed';
      return cameToNothing ? undefined : saga;
    }
    const { orderId } = run;
    // An order of the shop, whose process died between its commit and its charge.
    return orderId === null ? undefined : store.inTransaction((transaction) => adoption.sagaOf(orderId, transaction));
  };

  const begin = async (run: Run, request: CheckoutRequest): Promise<Saga> => {
    const cart = await readCart(carts, request);
    const { currency, totalCents } = sellable(cart, request.expectedTotalCents);
    const { accountId } = request;
    const lines = cart.lines.map(({ productId: product_id, name, unitPriceCents: unit_price_cents, quantity }) => {
      return { product_id, name, unit_price_cents, quantity };
    });
    const sale = { accountId, currency, totalCents, cartVersion: cart.version, lines };
    const id = `sale-${randomBytes(14).toString('hex')}`;
    const state = newSale(sale, clock.now().getTime());
    await store.inTransaction(async (transaction) => {
      await store.insert({ id, accountId, idempotencyKey: run.key, orderId: null, state }, transaction);
      await answerOnce.bind(run, id, transaction);
    });
    runner.begin({ sagaId: id, leaseToken: 1 }, request.cardToken);
    return runner.until(id, decided, request.waitMs);
  };

  return {
    async run(run, request) {
      const known = await left(run);
      if (known !== undefined) {
        runner.soon(known.id, request.cardToken);
        const saga = await runner.until(known.id, decided, request.waitMs);
        return { kind: decided(saga) ? 'decided' : 'running', saga };
      }
      for (let look = 1; ; look += 1) {
        const saga = await begin(run, request);
        if (!decided(saga)) return { kind: 'running', saga };
        if (saga.state.why !== 'cart_changed' || look === mostLooks) return { kind: 'decided', saga };
      }
    },
  };
}

async function readCart(carts: Carts, { accountId, authorization }: CheckoutRequest): Promise<Cart> {
  try {
    return await carts.read(accountId, authorization);
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    const problem = problems.unavailable(1, 'Your cart cannot be looked at just now; nothing was ordered. Try again.');
    problem.cause = error;
    throw problem;
  }
}

/** Refuses, with a 409 problem, a cart that cannot be sold as it is; stock is not looked at here. */
function sellable({ lines }: Cart, expectedTotalCents: number | undefined): { currency: string; totalCents: number } {
  const [first] = lines;
  if (!first) throw refusal('Cart is empty', 'There is nothing in the cart to check out.', {});
  const withdrawn = lines.filter(({ isWithdrawn }) => isWithdrawn).map(({ productId }) => productId);
  if (withdrawn.length > 0) {
    throw refusal('Product withdrawn', `No longer sold: product ${withdrawn.join(', ')}. Take it out of the cart.`, {
      product_ids: withdrawn,
    });
  }
  if (lines.some(({ currency }) => currency !== first.currency)) {
    throw refusal(
      'Several currencies',
      'One order has one currency. Check out the products of each one by themselves.',
      {
        currencies: [...new Set(lines.map(({ currency }) => currency))].sort(),
      },
    );
  }
  const totalCents = lines.reduce((sum, { unitPriceCents, quantity }) => sum + unitPriceCents * quantity, 0);
  if (expectedTotalCents !== undefined && expectedTotalCents !== totalCents) {
    throw refusal('Total has changed', `The cart now costs ${totalCents} cents, not ${expectedTotalCents}.`, {
      total_cents: totalCents,
    });
  }
  return { currency: first.currency, totalCents };
}

function refusal(title: string, detail: string, extensions: Record<string, unknown>): Problem {
  return new Problem({ status: 409, title, detail, extensions });
}
