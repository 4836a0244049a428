import { randomBytes, randomUUID } from 'node:crypto';
import type { TestAccount, TestShop } from './shop.ts';

/** What tests of buying and selling have in common: goods on the shelf, and customers who buy. */
export type Commerce = {
  /** A new product with so much stock, made without going through the API. */
  product(fields?: { stock?: number; priceCents?: number; currency?: string; active?: boolean }): Promise<number>;
  fill(buyer: TestAccount, quantities: Record<number, number>): Promise<void>;
  /** Checks out with a key of its own unless one is given. */
  checkOut(
    buyer: TestAccount,
    request?: { cardToken?: string; key?: string; expectedTotalCents?: number },
    // biome-ignore lint/suspicious/noExplicitAny: tests say themselves what they expect of a body
  ): Promise<{ status: number; headers: Headers; body: any; text: string }>;
  available(productId: number): Promise<number>;
  /** The product's stock is what its changes add up to: throws where it is not. */
  balance(productId: number): Promise<void>;
};

export async function commerceOf(shop: TestShop): Promise<Commerce> {
  const { models } = shop.deps;
  const now = shop.clock.now();
  const category = await models.Category.create({
    parent_id: null,
    name: 'Things',
    slug: `things-${randomBytes(4).toString('hex')}`,
    created_at: now,
    updated_at: now,
  });
  const available = async (productId: number) => (await models.StockLevel.findByPk(productId))?.available ?? 0;

  return {
    async product({ stock = 10, priceCents = 1_000, currency = 'EUR', active = true } = {}) {
      const product = await models.Product.create({
        sku: `SKU-${randomBytes(6).toString('hex').toUpperCase()}`,
        name: 'A thing',
        description: 'It does what it does.',
        category_id: category.id,
        price_cents: priceCents,
        currency,
        attributes: {},
        active,
        created_at: now,
        updated_at: now,
      } as never);
      if (stock > 0) {
        await models.StockLevel.create({ product_id: product.id, available: stock, version: 1, updated_at: now });
        await models.StockAdjustment.create({
          product_id: product.id,
          delta: stock,
          reason: 'first delivery',
          account_id: null,
          order_id: null,
          created_at: now,
        });
      }
      return product.id;
    },
    async fill(buyer, quantities) {
      for (const [productId, quantity] of Object.entries(quantities)) {
        const answer = await buyer.client.put(`/api/cart/items/${productId}`, { quantity });
        if (answer.status !== 200) throw new Error(`the cart was not filled: ${answer.text}`);
      }
    },
    checkOut: (buyer, { cardToken = 'tok_visa', key = randomUUID(), expectedTotalCents } = {}) =>
      buyer.client.post(
        '/api/checkout',
        {
          card_token: cardToken,
          ...(expectedTotalCents === undefined ? {} : { expected_total_cents: expectedTotalCents }),
        },
        { headers: { 'idempotency-key': key } },
      ),
    available,
    async balance(productId) {
      const sum = (await models.StockAdjustment.sum('delta', { where: { product_id: productId } })) ?? 0;
      const left = await available(productId);
      if (Number(sum) !== left) throw new Error(`product ${productId}: ${left} left, but its changes add up to ${sum}`);
    },
  };
}
