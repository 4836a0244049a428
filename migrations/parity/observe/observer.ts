import type { Effects } from '@strangler/platform/compare/answer.ts';
import type { Difference } from '@strangler/platform/compare/compare-answers.ts';

/** Looks beside the answers at what a request has left behind on both sides. */
export type Observer = {
  /** Forgets what was there before. */
  begin(): Promise<void>;
  /** The events that each side has left since it was asked last; null: nobody looks. */
  events(): Promise<readonly [left: Effects | null, right: Effects | null]>;
  /** Rows that are not the same on both sides, at paths such as `row products.price_cents`. */
  rows(): Promise<Difference[]>;
};

/** Looks at nothing: all that is known of the sides is what they answer. */
export const answersOnly: Observer = {
  begin: async () => {},
  events: async () => [null, null],
  rows: async () => [],
};
