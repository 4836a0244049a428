import { Op } from 'sequelize';
import type { Models } from '../../models/index.ts';
import type { ProductReader, SoldProduct } from '../catalogue/owner/product-reader.ts';
import type { Payments } from '../payments/payments.ts';
import { type PaymentShown, paymentJson } from '../payments/representation.ts';
import type { Order, OrderStatus } from './models.ts';

export type OrderFilter = {
  /** Orders of this account only; undefined: of all. */
  accountId: number | undefined;
  status: OrderStatus | undefined;
};

/** An order and its payment. */
export type ListedOrder = { order: Order; payment: PaymentShown | undefined };

/** And the products of its lines as they are today. */
export type OrderInFull = ListedOrder & { products: ReadonlyMap<number, SoldProduct> };

/** Reads orders as the API shows them, in a number of statements that does not grow with the number of orders. */
export class OrderReader {
  readonly #models: Models;
  readonly #products: ProductReader;
  readonly #payments: Pick<Payments, 'ofOrders'>;
  readonly #refuseMoved: () => void;

  constructor({
    models,
    catalogue,
    payments,
    refuseMoved,
  }: {
    models: Models;
    catalogue: { productReader: ProductReader };
    payments: Pick<Payments, 'ofOrders'>;
    /** Throws where the orders are nowhere in this database any more. */
    refuseMoved: () => void;
  }) {
    this.#models = models;
    this.#payments = payments;
    this.#refuseMoved = refuseMoved;
    this.#products = catalogue.productReader;
  }

  /** Orders from below `beforeId` on, newest first. */
  async list(
    filter: OrderFilter,
    { limit, beforeId }: { limit: number; beforeId: number | undefined },
  ): Promise<ListedOrder[]> {
    this.#refuseMoved();
    const { Order, OrderItem, Account } = this.#models;
    const orders = await Order.findAll({
      where: {
        ...(filter.accountId === undefined ? {} : { account_id: filter.accountId }),
        ...(filter.status === undefined ? {} : { status: filter.status }),
        ...(beforeId === undefined ? {} : { id: { [Op.lt]: beforeId } }),
      },
      include: [
        { model: Account, as: 'customer', attributes: ['id', 'display_name', 'email'] },
        // A statement of its own for the lines of all orders of the page: joined, they would multiply the rows of the limit.
        { model: OrderItem, as: 'items', separate: true, order: [['product_id', 'ASC']] },
      ],
      order: [['id', 'DESC']],
      limit,
    });
    const payments = await this.#payments.ofOrders(orders.map(({ id }) => id));
    return orders.map((order) => ({ order, payment: payments.get(order.id) }));
  }

  /** One order with the present state of what it names: products, their categories, its payment, its customer. */
  async find(orderId: number, accountId: number | undefined): Promise<OrderInFull | null> {
    this.#refuseMoved();
    const { Order, OrderItem, Account } = this.#models;
    const order = await Order.findOne({
      where: { id: orderId, ...(accountId === undefined ? {} : { account_id: accountId }) },
      include: [
        { model: Account, as: 'customer', attributes: ['id', 'display_name', 'email'] },
        { model: OrderItem, as: 'items', separate: true, order: [['product_id', 'ASC']] },
      ],
    });
    if (!order) return null;
    const [products, payments] = await Promise.all([
      this.#products.byIds((order.items ?? []).map((item) => item.product_id)),
      this.#payments.ofOrders([orderId]),
    ]);
    return { order, payment: payments.get(orderId), products };
  }
}

/** An order as lists show it. */
export function orderSummaryJson({ order, payment }: ListedOrder) {
  return {
    ...orderHeadJson(order, payment),
    items: (order.items ?? []).map((item) => ({
      product_id: item.product_id,
      name: item.name,
      unit_price_cents: item.unit_price_cents,
      quantity: item.quantity,
      line_total_cents: item.unit_price_cents * item.quantity,
    })),
  };
}

/** An order with all that belongs to it. `product` of a line is the product as it is today. */
export function orderDetailJson({ order, payment, products }: OrderInFull) {
  return {
    ...orderHeadJson(order, payment),
    items: (order.items ?? []).map((item) => ({
      product_id: item.product_id,
      name: item.name,
      unit_price_cents: item.unit_price_cents,
      quantity: item.quantity,
      line_total_cents: item.unit_price_cents * item.quantity,
      product: productJson(products.get(item.product_id)),
    })),
  };
}

function productJson(product: SoldProduct | undefined) {
  if (!product) return null;
  const { sku, name, priceCents: price_cents, currency, active, archived, category } = product;
  return { sku, name, price_cents, currency, on_sale: active && !archived, category };
}

function orderHeadJson(order: Order, payment: PaymentShown | undefined) {
  return {
    id: order.id,
    status: order.status,
    total_cents: order.total_cents,
    currency: order.currency,
    cancel_reason: order.cancel_reason,
    customer: order.customer
      ? { id: order.customer.id, display_name: order.customer.display_name, email: order.customer.email }
      : null,
    payment: payment ? paymentJson(payment) : null,
    version: order.version,
    created_at: order.created_at.toISOString(),
    updated_at: order.updated_at.toISOString(),
  };
}
