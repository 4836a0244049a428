/**
 * Runs a write of the inventory's tables; one that the closed fence refuses, rolled back, is run again once the fence is
 * open. `write` has no effect outside of its transaction.
 */
export type Fenced = <T>(write: () => Promise<T>) => Promise<T>;
