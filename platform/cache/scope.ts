/**
 * What an answer of a cache stands on, and what a write makes untrue. A scope has a generation; an answer is good as long
 * as the generations that it was made under are still the present ones.
 */
export type Scope = string & { readonly scope: unique symbol };

/** Every answer stands on this one. */
export const everythingScope = 'all' as Scope;

export function scopeOf(name: string): Scope {
  return name as Scope;
}
