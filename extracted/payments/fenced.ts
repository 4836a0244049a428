/**
 * Runs a write of the payments' tables; one that the closed fence refuses, rolled back, is run again once the fence is open.
 * `write` has no effect outside of its transaction: the provider is never called within it.
 */
export type Fenced = <T>(write: () => Promise<T>) => Promise<T>;
