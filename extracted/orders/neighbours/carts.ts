import { tracedFetch } from '@strangler/platform/http/traced-fetch.ts';
import { z } from 'zod';
import { NoAnswer } from './no-answer.ts';
import type { ServiceToken } from './service-token.ts';

export type CartLine = {
  productId: number;
  name: string;
  unitPriceCents: number;
  currency: string;
  quantity: number;
  isWithdrawn: boolean;
};

/** A cart with today's names and prices. `version`: another one whenever its lines are others. */
export type Cart = { version: string; lines: CartLine[] };

/** The carts, which are the shop's. Each throws NoAnswer where the shop does not say. */
export type Carts = {
  /** `authorization`: the customer's own. */
  read(accountId: number, authorization: string): Promise<Cart>;
  /** Takes all lines out, once for each sale, if the cart is still of this version. */
  take(request: { accountId: number; saleId: string; version: string }): Promise<'taken' | 'changed'>;
  /** Puts back what a sale has taken; where it has taken nothing, it never will. */
  giveBack(request: { accountId: number; saleId: string }): Promise<void>;
};

const TIMEOUT_MS = 5_000;

const cart = z.object({
  version: z.string(),
  items: z.array(
    z.object({
      product_id: z.int(),
      name: z.string(),
      unit_price_cents: z.int(),
      currency: z.string(),
      quantity: z.int().min(1),
      is_sold: z.boolean(),
    }),
  ),
});

const routeOf = (path: string): string =>
  path.includes('/sales/') ? '/internal/carts/:account/sales/:sale' : '/internal/carts/:account';

/** The shop's carts over HTTP: `/internal/carts`. */
export function createCarts({ shopUrl, serviceToken }: { shopUrl: string; serviceToken: ServiceToken }): Carts {
  const send = async (method: string, path: string, authorization: string, json?: object): Promise<Response> => {
    try {
      return await tracedFetch({ peer: 'monolith', route: routeOf(path) }, new URL(path, shopUrl), {
        method,
        headers: { authorization, ...(json === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(json === undefined ? {} : { body: JSON.stringify(json) }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
        redirect: 'error',
      });
    } catch (error) {
      throw new NoAnswer(`${method} ${path}`, error);
    }
  };
  const unexpected = async (answer: Response, what: string): Promise<NoAnswer> =>
    new NoAnswer(what, new Error(`found ${answer.status}: ${(await answer.text()).slice(0, 300)}`));
  const own = async (): Promise<string> => {
    try {
      return await serviceToken();
    } catch (error) {
      throw new NoAnswer('a token of this service', error);
    }
  };

  return {
    async read(accountId, authorization) {
      const path = `/internal/carts/${accountId}`;
      const answer = await send('GET', path, authorization);
      if (answer.status !== 200) throw await unexpected(answer, `GET ${path}`);
      const { version, items } = cart.parse(await answer.json());
      const lines = items.map(({ product_id, unit_price_cents, is_sold, ...rest }) => ({
        ...{ ...rest, productId: product_id, unitPriceCents: unit_price_cents },
        isWithdrawn: !is_sold,
      }));
      return { version, lines };
    },
    async take({ accountId, saleId, version }) {
      const path = `/internal/carts/${accountId}/sales/${saleId}`;
      const answer = await send('PUT', path, await own(), { version });
      if (answer.status === 204) return 'taken';
      if (answer.status === 409) {
        await answer.body?.cancel();
        return 'changed';
      }
      throw await unexpected(answer, `PUT ${path}`);
    },
    async giveBack({ accountId, saleId }) {
      const path = `/internal/carts/${accountId}/sales/${saleId}`;
      const answer = await send('DELETE', path, await own());
      if (answer.status !== 204) throw await unexpected(answer, `DELETE ${path}`);
    },
  };
}
