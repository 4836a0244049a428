import type { Scope } from '@strangler/platform/cache/scope.ts';

/** Lists and counts of products. */
export const listsScope = 'lists' as Scope;

/** One product and its reviews. */
export function productScope(id: number): Scope {
  return `p:${id}` as Scope;
}
