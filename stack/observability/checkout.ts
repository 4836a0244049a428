import { SEED_PASSWORD } from '@strangler/monolith/modules/accounts/seed.ts';
import type { System } from '../system/system.ts';

/** The headers that a request of a customer carries. */
type Headers = Record<string, string>;

/** Somebody at a proxy, logged in. */
export type Customer = { /** Buys one. */ checkOut(more?: Headers): Promise<{ status: number; orderId: number }> };

/** Registers a customer who buys this product. */
export async function customerOf({ proxyUrls }: System, productId: number): Promise<Customer> {
  const send = async (method: string, path: string, body: object, headers: Headers = {}) => {
    const answer = await fetch(new URL(path, proxyUrls[0]), {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (answer.status > 299) throw new Error(`${method} ${path}: expected 2xx, found ${answer.status}: ${text}`);
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
  };
  const credentials = { email: `traced.${Date.now()}@shop.example`, password: SEED_PASSWORD };
  await send('POST', '/api/accounts', { ...credentials, display_name: 'Traced' });
  const { body: session } = await send('POST', '/api/sessions', credentials);
  const authorization = `Bearer ${session.access_token}`;
  return {
    async checkOut(more = {}) {
      await send('PUT', `/api/cart/items/${productId}`, { quantity: 1 }, { authorization });
      const headers = { authorization, 'idempotency-key': crypto.randomUUID(), ...more };
      const { status, body } = await send('POST', '/api/checkout', { card_token: 'tok_visa' }, headers);
      return { status, orderId: body.order.id };
    },
  };
}
