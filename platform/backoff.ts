export type Backoff = { baseMs: number; capMs: number };

/**
 * How long to wait before the next try, in milliseconds: decorrelated jitter, after M. Brooker,
 * "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). The first try (`previousMs` undefined)
 * waits less than the base, so that a single lost connection costs little.
 */
export function nextBackoffMs(
  previousMs: number | undefined,
  { baseMs, capMs }: Backoff,
  random = Math.random,
): number {
  if (previousMs === undefined) return Math.round(Math.min(capMs, baseMs) * random());
  const upperMs = Math.max(baseMs, previousMs * 3);
  return Math.round(Math.min(capMs, baseMs + (upperMs - baseMs) * random()));
}

/** Waits `ms`; returns `'aborted'` at once, leaving no timer, when the signal fires. Never throws. */
export function pause(ms: number, signal?: AbortSignal): Promise<'elapsed' | 'aborted'> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve('aborted');
    const onAbort = () => {
      clearTimeout(timer);
      resolve('aborted');
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve('elapsed');
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
