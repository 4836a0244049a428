import type { FenceOwner } from '@strangler/platform/contracts/fence-refusal.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import type { Transaction } from 'sequelize';

/** Which side tells the customer of what a transaction does, and under which epoch of the slice's flags. */
export type TellingSide = { side: FenceOwner; epoch: number };

/** Who tells customers: this shop, or the service. */
export type TellingSides = {
  /**
   * What a transaction leaves the telling to: asked once, whoever asks first, so that all that it writes says the same. Undefined:
   * there are no flags, and the shop tells.
   */
  of(transaction: Transaction): TellingSide | undefined;
  /** Whether it is the shop's just now. */
  isShops(): boolean;
};

/** While the writes are held it is the side that they are taken from. Flags that are not known leave it to the shop. */
export function createTellingSides(owner: Pick<OwnerFollower, 'now'> | undefined): TellingSides {
  const sides = new WeakMap<Transaction, TellingSide>();
  const now = (): TellingSide => {
    const { holder = 'monolith', epoch = 1 } = owner?.now() ?? {};
    return { side: holder, epoch };
  };
  return {
    of(transaction) {
      if (owner === undefined) return undefined;
      const known = sides.get(transaction);
      if (known !== undefined) return known;
      const side = now();
      sides.set(transaction, side);
      return side;
    },
    isShops: () => now().side === 'monolith',
  };
}
