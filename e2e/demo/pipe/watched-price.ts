import { pause } from '@strangler/platform/backoff.ts';
import { serviceTokenHeader } from '@strangler/platform/contracts/headers.ts';
import { openKeyFolder } from '@strangler/platform/service-trust/key-folder.ts';
import { createServiceTokens } from '@strangler/platform/service-trust/service-tokens.ts';
import { type Dispatcher, request } from 'undici';
import type { Shop } from '../shop.ts';

export type WatchOptions = { shop: Shop; adminToken: string; changes: number; dispatcher: Dispatcher };

/** Beyond this it is not served any more in any sense that a user would accept. */
const servedWithinMs = 30_000;
const pollMs = 5;
const tokenLifeMs = 60_000;

/**
 * Changes a product's price in the monolith, through the proxies, so many times, and watches it at every instance of the
 * service. Resolves to the time from the monolith's answer until an instance serves the new price, in milliseconds, of each
 * change and instance.
 */
export const watchPrice = async ({ shop, adminToken, changes, dispatcher }: WatchOptions): Promise<number[]> => {
  const { catalogUrls, keysFolder } = shop.system;
  // Past the proxies an instance serves operators alone.
  const ring = await openKeyFolder(keysFolder).ring('operator');
  const tokens = createServiceTokens({ ring: () => ring, lifeMs: tokenLifeMs });
  const write = async (method: 'POST' | 'PATCH', path: string, body: object): Promise<{ id: number }> => {
    const answer = await request(`${shop.proxyUrls[0]}${path}`, {
      dispatcher,
      method,
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json', 'if-match': '*' },
      body: JSON.stringify(body),
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw new Error(`${method} ${path} answered ${answer.statusCode}: ${text}`);
    return JSON.parse(text) as { id: number };
  };
  const servedPrice = async (url: string, id: number): Promise<number | undefined> => {
    const answer = await request(new URL(`/api/products/${id}`, url), {
      dispatcher,
      headers: { [serviceTokenHeader]: await tokens.tokenFor('catalog') },
    });
    const body = (await answer.body.json()) as { price_cents?: number };
    return body.price_cents;
  };
  /** Asking makes the service keep the price in its cache: the next one must come through that, too. */
  const untilServed = (id: number, cents: number): Promise<number[]> => {
    const changedAt = performance.now();
    return Promise.all(
      catalogUrls.map(async (url) => {
        for (;;) {
          const found = await servedPrice(url, id);
          const tookMs = performance.now() - changedAt;
          if (found === cents) return tookMs;
          if (tookMs > servedWithinMs)
            throw new Error(`${url}: expected product ${id} at ${cents} cents, found ${found} for ${tookMs} ms`);
          await pause(pollMs);
        }
      }),
    );
  };

  const { id } = await write('POST', '/api/products', {
    sku: `WATCHED-${crypto.randomUUID().toUpperCase()}`,
    name: 'A product whose price is watched',
    category_id: await anyCategory(shop, dispatcher),
    price_cents: 1,
  });
  await untilServed(id, 1);
  const tookMs: number[] = [];
  for (let cents = 2; cents < 2 + changes; cents += 1) {
    await write('PATCH', `/api/products/${id}`, { price_cents: cents });
    tookMs.push(...(await untilServed(id, cents)));
  }
  return tookMs;
};

const anyCategory = async (shop: Shop, dispatcher: Dispatcher): Promise<number> => {
  const answer = await request(`${shop.proxyUrls[0]}/api/categories`, { dispatcher });
  const { items } = (await answer.body.json()) as { items: { id: number }[] };
  return items[0]!.id;
};
