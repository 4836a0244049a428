import { pick, type Weighted } from './random.ts';
import { type Action, createVisitor, type Visitor, type VisitorOptions } from './visitor.ts';

export type StorekeeperOptions = Omit<VisitorOptions, 'nextAction' | 'accessToken'> & {
  /** Of an account that may change the stock. */
  accessToken: string;
  productIds: readonly number[];
  random: () => number;
};

/** Somebody who keeps the stock: looks at it, puts in what has come, takes out what is broken. */
export const createStorekeeper = ({ productIds, random, ...options }: StorekeeperOptions): Visitor => {
  const one = (): number => productIds[Math.floor(random() * productIds.length)]!;
  const adjust = (name: string, delta: number, fine: readonly number[]): Action => ({
    name,
    method: 'POST',
    path: `/api/inventory/${one()}/adjustments`,
    body: { delta, reason: name },
    fine,
  });
  const choices: Weighted<() => Action> = [
    [5, () => ({ name: 'look at the stock', method: 'GET', path: `/api/inventory/${one()}`, fine: [200] })],
    [3, () => adjust('put stock in', 1 + Math.floor(random() * 5), [201])],
    // 409: there is less than that.
    [1, () => adjust('take stock out', -1 - Math.floor(random() * 3), [201, 409])],
    [
      1,
      () => ({
        name: 'look at the changes of the stock',
        method: 'GET',
        path: `/api/inventory/${one()}/adjustments?limit=5`,
        fine: [200],
      }),
    ],
  ];
  return createVisitor({ ...options, nextAction: () => pick(choices, random)() });
};
