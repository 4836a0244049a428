import { Problem } from '@strangler/platform/http/problem.ts';
import type { Sequelize, Transaction } from 'sequelize';
import { inTransaction } from '../../transaction.ts';
import type { Carts, SaleLine } from '../cart/cart.ts';
import type { Inventory, TakeStock } from '../inventory/inventory.ts';
import type { OrdersOfOwner } from '../orders/index.ts';
import type { PaymentStatus } from '../payments/payment-state.ts';
import type { Payments } from '../payments/payments.ts';
import type { AnswerOnce, Run } from './answer-once.ts';

export type CheckoutRequest = {
  accountId: number;
  /** The provider's token for the customer's card; never stored. */
  cardToken: string;
  /** What the customer was shown, if the client says so: another total is refused. */
  expectedTotalCents: number | undefined;
};

export type CheckedOut = { orderId: number; payment: PaymentStatus };

/** Sells a cart. */
export class Checkout {
  readonly #sequelize: Sequelize;
  readonly #carts: Carts;
  readonly #inventory: Inventory;
  readonly #orders: Pick<OrdersOfOwner, 'place' | 'whileHere'>;
  readonly #payments: Payments;
  readonly #answerOnce: AnswerOnce;

  constructor(parts: {
    sequelize: Sequelize;
    carts: Carts;
    inventory: Inventory;
    orders: Pick<OrdersOfOwner, 'place' | 'whileHere'>;
    payments: Payments;
    answerOnce: AnswerOnce;
  }) {
    this.#sequelize = parts.sequelize;
    this.#carts = parts.carts;
    this.#inventory = parts.inventory;
    this.#orders = parts.orders;
    this.#payments = parts.payments;
    this.#answerOnce = parts.answerOnce;
  }

  /**
   * Places the order in one transaction and asks for the money after it has committed. A run that goes on for another that died
   * places nothing again. Throws a 409 problem where the cart cannot be sold as it is.
   */
  async run(run: Run, request: CheckoutRequest): Promise<CheckedOut> {
    let tries = 0;
    // Orders and payments that are being moved have all of it run again, and what a try has reserved is known by an id that is its own.
    const nextSaleId = () => {
      tries += 1;
      return `${run.runner}.${tries}`;
    };
    const orderId = run.orderId ?? (await this.#orders.whileHere(() => this.#sell(run, request, nextSaleId)));
    return { orderId, payment: await this.#payments.charge({ orderId, cardToken: request.cardToken }) };
  }

  #sell(run: Run, request: CheckoutRequest, nextSaleId: () => string): Promise<number> {
    const { accountId } = request;
    const lines = async () => (await this.#carts.linesForSale(accountId)).filter(({ sold }) => sold);
    return this.#payments.placing(() =>
      this.#inventory.sell({ id: nextSaleId(), accountId, lines }, (take) =>
        inTransaction(this.#sequelize, (transaction) => this.#place(run, request, take, transaction)),
      ),
    );
  }

  async #place(run: Run, request: CheckoutRequest, take: TakeStock, transaction: Transaction): Promise<number> {
    const { accountId } = request;
    const lines = await this.#carts.lockForSale(accountId, transaction);
    const { currency } = sellable(lines, request.expectedTotalCents);
    const { orderId, totalCents } = await this.#orders.place({ accountId, currency, lines }, transaction);
    await this.#payments.create({ orderId, accountId, amountCents: totalCents, currency }, transaction);
    await this.#carts.empty(accountId, transaction);
    await this.#answerOnce.bind(run, orderId, transaction);
    // Last, because other customers wait for these rows until the commit.
    const outcome = await take(lines, { orderId, accountId }, transaction);
    if (outcome.kind === 'short') {
      throw new Problem({
        status: 409,
        title: 'Not enough stock',
        detail: outcome.shortages
          .map(({ productId, wanted, left }) => `Product ${productId}: ${wanted} wanted, ${left} left.`)
          .join(' '),
        extensions: {
          shortages: outcome.shortages.map(({ productId, wanted, left }) => ({
            product_id: productId,
            wanted,
            available: left,
          })),
        },
      });
    }
    return orderId;
  }
}

/** Refuses, with a 409 problem, a cart that cannot be sold as it is; stock is not looked at here. */
function sellable(lines: SaleLine[], expectedTotalCents: number | undefined): { currency: string } {
  const [first] = lines;
  if (!first) throw refusal('Cart is empty', 'There is nothing in the cart to check out.', {});
  const withdrawn = lines.filter((line) => !line.sold).map((line) => line.productId);
  if (withdrawn.length > 0) {
    throw refusal('Product withdrawn', `No longer sold: product ${withdrawn.join(', ')}. Take it out of the cart.`, {
      product_ids: withdrawn,
    });
  }
  if (lines.some((line) => line.currency !== first.currency)) {
    throw refusal(
      'Several currencies',
      'One order has one currency. Check out the products of each one by themselves.',
      {
        currencies: [...new Set(lines.map((line) => line.currency))].sort(),
      },
    );
  }
  const totalCents = lines.reduce((sum, line) => sum + line.unitPriceCents * line.quantity, 0);
  if (expectedTotalCents !== undefined && expectedTotalCents !== totalCents) {
    throw refusal('Total has changed', `The cart now costs ${totalCents} cents, not ${expectedTotalCents}.`, {
      total_cents: totalCents,
    });
  }
  return { currency: first.currency };
}

function refusal(title: string, detail: string, extensions: Record<string, unknown>): Problem {
  return new Problem({ status: 409, title, detail, extensions });
}
