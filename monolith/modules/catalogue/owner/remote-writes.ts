import { type Backoff, nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import { epochHeader } from '@strangler/platform/contracts/headers.ts';
import { Problem } from '@strangler/platform/http/problem.ts';
import { StaleEpochAnswer, throwIfStale } from '@strangler/platform/ownership/through-seam.ts';
import type { MachineToken } from '../../../auth/machine-token.ts';
import type { Representation } from '../../../http/representation.ts';
import type { CategoryView } from '../category-tree.ts';
import type { PriceRule } from '../price-rule.ts';
import type { ReviewView } from '../review-service.ts';
import { type CatalogueAnswer, type CatalogueClient, type CatalogueRequest, textOf } from './catalogue-client.ts';
import type { CatalogueWrites } from './catalogue-writes.ts';

/** How long a price rule is sent again when nobody knows whether it was applied. */
const RULE_RETRY_MS = 60_000;
const backoff: Backoff = { baseMs: 50, capMs: 2_000 };

/** Writes sent to the catalogue service under one epoch; StaleEpochAnswer where that is over. */
export function remoteWrites({
  client,
  machineToken,
  epoch,
}: {
  client: CatalogueClient;
  /** For what no person asked for. */
  machineToken: MachineToken;
  epoch: number;
}): CatalogueWrites {
  const send = async (wanted: CatalogueRequest, authorization: string): Promise<CatalogueAnswer> => {
    const headers = { ...wanted.headers, authorization, [epochHeader]: `${epoch}` };
    const answer = await client.send({ ...wanted, headers });
    throwIfStale(epoch, answer.status, answer.headers);
    textOf(answer);
    return answer;
  };
  const product = (id: number) => `/api/products/${id}`;
  const ifMatching = (ifMatch: string) => ({ 'if-match': ifMatch });

  const applyOnce = async (path: string, rule: PriceRule): Promise<number> => {
    const answer = await send({ method: 'PUT', path, body: wireRule(rule) }, await machineToken());
    return changedOf(answer);
  };
  const appliedBefore = async (path: string): Promise<number | undefined> => {
    const answer = await client.send({ method: 'GET', path, headers: { authorization: await machineToken() } });
    return answer.status === 404 ? undefined : changedOf({ ...answer, text: textOf(answer) });
  };

  return {
    async createProduct(fields, { authorization }) {
      const answer = await send({ method: 'POST', path: '/api/products', body: fields }, authorization);
      return { ...representationOf(answer), id: Number((JSON.parse(answer.text) as { id: number }).id) };
    },
    async replaceProduct(id, ifMatch, body, { authorization }) {
      const put = { method: 'PUT', path: product(id), headers: ifMatching(ifMatch), body } as const;
      return representationOf(await send(put, authorization));
    },
    async patchProduct(id, ifMatch, body, { authorization }) {
      const patch = { method: 'PATCH', path: product(id), headers: ifMatching(ifMatch), body } as const;
      return representationOf(await send(patch, authorization));
    },
    async archiveProduct(id, ifMatch, { authorization }) {
      await send({ method: 'DELETE', path: product(id), headers: ifMatching(ifMatch) }, authorization);
    },
    async createCategory(body, { authorization }) {
      const { text } = await send({ method: 'POST', path: '/api/categories', body }, authorization);
      return JSON.parse(text) as CategoryView;
    },
    async replaceCategory(id, body, { authorization }) {
      const { text } = await send({ method: 'PUT', path: `/api/categories/${id}`, body }, authorization);
      return JSON.parse(text) as CategoryView;
    },
    async removeCategory(id, { authorization }) {
      await send({ method: 'DELETE', path: `/api/categories/${id}` }, authorization);
    },
    async createReview(productId, body, { authorization }) {
      const { text } = await send({ method: 'POST', path: `${product(productId)}/reviews`, body }, authorization);
      return JSON.parse(text) as ReviewView;
    },
    async removeReview(productId, reviewId, { authorization }) {
      await send({ method: 'DELETE', path: `${product(productId)}/reviews/${reviewId}` }, authorization);
    },

    async applyPriceRule(run, rule) {
      const path = `/internal/price-rules/${run}/${rule.name}`;
      const untilMs = performance.now() + RULE_RETRY_MS;
      let delayMs: number | undefined;
      for (let outcome: 'none yet' | 'unknown' = 'none yet'; ; ) {
        try {
          return await applyOnce(path, rule);
        } catch (error) {
          if (error instanceof StaleEpochAnswer) {
            // The ownership has moved on, and with it what an earlier try may have done: it is asked for before the rule
            // is applied anywhere else. Behind its closed fence the service cannot apply it any more.
            const changed = outcome === 'unknown' ? await appliedBefore(path) : undefined;
            if (changed !== undefined) return changed;
            throw error;
          }
          const mayHelp = error instanceof Problem && error.status >= 500;
          if (!mayHelp || performance.now() > untilMs) throw error;
          outcome = 'unknown';
        }
        delayMs = nextBackoffMs(delayMs, backoff);
        await pause(delayMs);
      }
    },
  };
}

function representationOf({ text, headers }: CatalogueAnswer): Representation {
  const { etag, 'last-modified': lastModified } = headers;
  if (typeof etag !== 'string') throw new Error('the catalogue answered a write without an ETag');
  return {
    body: text,
    entityTag: etag,
    ...(typeof lastModified === 'string' ? { lastModified: new Date(lastModified) } : {}),
  };
}

function wireRule(rule: PriceRule): Record<string, number | undefined> {
  return {
    percent: rule.percent,
    rating_count_at_least: rule.ratingCountAtLeast,
    rating_average_at_least: rule.ratingAverageAtLeast,
    rating_average_below: rule.ratingAverageBelow,
    price_cents_at_least: rule.priceCentsAtLeast,
    price_cents_at_most: rule.priceCentsAtMost,
  };
}

function changedOf({ text }: CatalogueAnswer): number {
  return Number((JSON.parse(text) as { changed: number }).changed);
}
