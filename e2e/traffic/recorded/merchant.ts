import type { HistoryLog } from '../../checker/history-log.ts';
import { deleted } from '../../checker/operation.ts';
import { pick, type Weighted } from '../random.ts';
import { type Action, createVisitor, type VisitEnding, type Visitor, type VisitorOptions } from '../visitor.ts';
import {
  type CheckedProduct,
  checkedPrefix,
  nameOfWrite,
  newProduct,
  type Prices,
  productKey,
  uniqueSku,
} from './checked-products.ts';
import { outcomeOf } from './outcome.ts';

export type RecordedMerchantOptions = Omit<VisitorOptions, 'nextAction' | 'accessToken'> & {
  accessToken: string;
  log: HistoryLog;
  /** On which the merchants meet; never archived. */
  products: readonly CheckedProduct[];
  categoryId: number;
  prices: Prices;
  /** Of all that it does, how much is reading; 0 to 1. */
  readShare: number;
  random: () => number;
};

/** Somebody who runs the catalogue, and logs each write before it is sent and each outcome as it comes. */
export const createRecordedMerchant = (options: RecordedMerchantOptions): Visitor => {
  const { name, log, products, categoryId, prices, readShare, random } = options;
  const own: CheckedProduct[] = [];
  const one = (): CheckedProduct => products[Math.floor(random() * products.length)]!;

  const write = (
    { op, key, value, onDone = () => {} }: { op: string; key: string; value: string; onDone?: (body: unknown) => void },
    request: Pick<Action, 'method' | 'path' | 'headers' | 'body' | 'fine'>,
  ): Action => {
    const end = log.begin({ client: name, op, kind: 'write', key, value });
    return {
      name: op,
      ...request,
      onEnd: (ending: VisitEnding) => {
        const judged = outcomeOf(ending);
        end(judged);
        if (judged.outcome === 'ok' && ending.kind === 'answer') onDone(ending.body);
      },
    };
  };
  const patchPrice = (): Action => {
    const { id, key } = one();
    const price = prices.next();
    return write(
      { op: 'patch price', key, value: `${price}` },
      {
        method: 'PATCH',
        path: `/api/products/${id}`,
        headers: { 'if-match': '*' },
        body: { price_cents: price, name: nameOfWrite(price) },
        fine: [200],
      },
    );
  };
  const createProduct = (): Action => {
    const price = prices.next();
    const sku = `${checkedPrefix}${uniqueSku()}`;
    const key = productKey(sku);
    return write(
      {
        op: 'create product',
        key,
        value: `${price}`,
        onDone: (body) => own.push({ id: (body as { id: number }).id, sku, key }),
      },
      { method: 'POST', path: '/api/products', body: newProduct(sku, price, categoryId), fine: [201] },
    );
  };
  const archiveProduct = (): Action => {
    const product = own.shift();
    if (product === undefined) return createProduct();
    return write(
      { op: 'archive product', key: product.key, value: deleted },
      { method: 'DELETE', path: `/api/products/${product.id}`, headers: { 'if-match': '*' }, fine: [204] },
    );
  };
  const readProduct = (): Action => {
    const { id, key } = one();
    const end = log.begin({ client: name, op: 'read product', kind: 'read', key, value: null });
    return {
      name: 'read product',
      method: 'GET',
      path: `/api/products/${id}`,
      fine: [200],
      onEnd: (ending) => {
        const judged = outcomeOf(ending);
        const found = ending.kind === 'answer' && ending.status === 200 ? valueOfProduct(ending.body) : null;
        end(found === null ? { ...judged, outcome: 'unknown' } : { ...judged, value: found });
      },
    };
  };
  const choices: Weighted<() => Action> = [
    [12, patchPrice],
    [2, createProduct],
    [1, archiveProduct],
  ];
  return createVisitor({
    ...options,
    nextAction: () => (random() < readShare ? readProduct() : pick(choices, random)()),
  });
};

/** What a product shows: the write that its price names, or, where its name is of another one, both. */
const valueOfProduct = (body: unknown): string => {
  const { price_cents: price, name } = body as { price_cents: number; name: string };
  return checkedValue(price, name);
};

/** The value of a row or an answer: the one write that price and name both show. */
export const checkedValue = (priceCents: number | string, name: string): string =>
  name === nameOfWrite(Number(priceCents)) ? `${priceCents}` : `torn: ${priceCents}, ${JSON.stringify(name)}`;
