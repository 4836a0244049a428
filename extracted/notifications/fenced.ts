/**
 * Runs a write of the service's tables; one that the closed fence refuses, rolled back, is run again once the fence is
 * open. `write` has no effect outside of its transaction and the cache.
 */
export type Fenced = <T>(write: () => Promise<T>) => Promise<T>;
