import http from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { createTestIssuer, type TestIssuer } from './issuer.ts';

export type CartItem = {
  product_id: number;
  name: string;
  unit_price_cents: number;
  currency: string;
  quantity: number;
};

/** What the orders need of the shop: keys, a log-in, accounts and carts, kept in memory. */
export type TestShop = TestIssuer & {
  url: string;
  /** Puts a cart there; it has another version than the one before. */
  fill(accountId: number, items: readonly Partial<CartItem>[]): void;
  cartOf(accountId: number): readonly CartItem[];
  stop(): Promise<void>;
};

type Cart = { version: string; items: CartItem[] };

export async function startShopStandIn(): Promise<TestShop> {
  const issuer = await createTestIssuer();
  const carts = new Map<number, Cart>();
  const sales = new Map<string, CartItem[] | 'returned'>();
  let versions = 0;
  const put = (accountId: number, items: CartItem[]) => {
    versions += 1;
    carts.set(accountId, { version: `v${versions}`, items });
  };
  const cartOf = (accountId: number): Cart => carts.get(accountId) ?? { version: 'v0', items: [] };

  const app = express();
  app.use(express.json());
  app.get('/.well-known/jwks.json', (_req, res) => void res.json(issuer.keys));
  app.post('/api/sessions', async (_req, res) => {
    res.status(201).json({
      access_token: await issuer.token(1, 'admin'),
      token_type: 'Bearer',
      expires_in: 900,
      refresh_token: 'x',
    });
  });
  app.get('/api/accounts/me', (req, res) => {
    const [, claims = ''] = (req.get('authorization') ?? '').split('.');
    const id = Number(JSON.parse(Buffer.from(claims, 'base64url').toString()).sub);
    res.json({ id, email: `customer-${id}@shop.example`, display_name: `Customer ${id}`, role: 'customer' });
  });
  app.get('/internal/carts/:accountId', (req, res) => {
    const { version, items } = cartOf(Number(req.params.accountId));
    res.json({ version, items: items.map((item) => ({ ...item, is_sold: true })) });
  });
  app.put('/internal/carts/:accountId/sales/:saleId', (req, res) => {
    const { saleId } = req.params;
    const accountId = Number(req.params.accountId);
    const known = sales.get(saleId);
    const cart = cartOf(accountId);
    const mayTake = known === undefined && cart.items.length > 0 && cart.version === req.body.version;
    if (mayTake) {
      sales.set(saleId, cart.items);
      put(accountId, []);
    }
    res.status(mayTake || Array.isArray(known) ? 204 : 409).end();
  });
  app.delete('/internal/carts/:accountId/sales/:saleId', (req, res) => {
    const known = sales.get(req.params.saleId);
    if (Array.isArray(known)) put(Number(req.params.accountId), known);
    sales.set(req.params.saleId, 'returned');
    res.status(204).end();
  });

  const server = http.createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ...issuer,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fill: (accountId, items) =>
      put(
        accountId,
        items.map((item) => ({
          product_id: 1,
          name: 'A thing',
          unit_price_cents: 1_000,
          currency: 'EUR',
          quantity: 1,
          ...item,
        })),
      ),
    cartOf: (accountId) => cartOf(accountId).items,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
