/**
 * What an answer of the cache stands on, and what a write makes untrue. A scope has a generation; an answer is good as long
 * as the generations that it was made under are still the present ones.
 */
export type Scope = string & { readonly scope: unique symbol };

/** Every answer stands on this one: names of categories are in all of them. */
export const everythingScope = 'all' as Scope;

/** Lists and counts of products. */
export const listsScope = 'lists' as Scope;

/** One product and its reviews. */
export function productScope(id: number): Scope {
  return `p:${id}` as Scope;
}
