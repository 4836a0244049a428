/**
 * Runs a write of the orders' tables; one that the closed fence refuses, rolled back, is run again once the fence is open.
 * `write` has no effect outside of its transaction: nobody else is called within it.
 */
export type Fenced = <T>(write: () => Promise<T>) => Promise<T>;
