/**
 * The bound on requests under way to one upstream, so that one that hangs cannot take all of the proxy with it. No queue
 * behind it: a request that waits here would hold memory and a client, and would tell nobody.
 */
export type Bulkhead = { readonly inFlight: number; readonly maxConcurrent: number };

/** Throws RangeError where the bound would let nothing pass. */
export function emptyBulkhead(maxConcurrent: number): Bulkhead {
  if (!Number.isInteger(maxConcurrent) || maxConcurrent < 1) {
    throw new RangeError(`A bulkhead's maxConcurrent must be a whole number of at least 1, not ${maxConcurrent}`);
  }
  return { inFlight: 0, maxConcurrent };
}

export function isFull(bulkhead: Bulkhead): boolean {
  return bulkhead.inFlight >= bulkhead.maxConcurrent;
}

/** One more under way. Throws RangeError when full: ask `isFull` first. */
export function enterBulkhead(bulkhead: Bulkhead): Bulkhead {
  if (isFull(bulkhead)) throw new RangeError(`The bulkhead is full at ${bulkhead.maxConcurrent}; ask isFull first`);
  return { inFlight: bulkhead.inFlight + 1, maxConcurrent: bulkhead.maxConcurrent };
}

/** One fewer under way. Throws RangeError when nobody is inside: something was let out twice. */
export function leaveBulkhead(bulkhead: Bulkhead): Bulkhead {
  if (bulkhead.inFlight === 0) throw new RangeError('Nobody is inside the bulkhead; something was let out twice');
  return { inFlight: bulkhead.inFlight - 1, maxConcurrent: bulkhead.maxConcurrent };
}
