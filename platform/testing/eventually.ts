import { pause } from '../backoff.ts';

export type Patience = {
  /** 30 000 ms unless told. */
  withinMs?: number;
  /** What is waited for, in the message. */
  what?: string;
  /** Ends the waiting with its reason. */
  signal?: AbortSignal;
  /** Failures that another attempt cannot mend: they are thrown at once. None unless told. */
  isFinal?: (failure: unknown) => boolean;
};

/**
 * Calls `fn` until it succeeds, waiting 5 ms and then ever longer, up to 200 ms, in between, and returns its value.
 * It has failed when it throws, or returns `false`, `null`, `0` or `''`; `undefined` is success, so that assertions can
 * be passed. Throws after `withinMs`, naming the last failure.
 */
export async function eventually<T>(
  fn: () => T | Promise<T>,
  { withinMs = 30_000, what, signal, isFinal = () => false }: Patience = {},
): Promise<Exclude<Awaited<T>, false | null | 0 | ''>> {
  const deadline = performance.now() + withinMs;
  let failure: unknown = new Error('the first attempt has not ended');
  for (let waitMs = 5; ; waitMs = Math.min(waitMs * 1.6, 200)) {
    signal?.throwIfAborted();
    try {
      const value = await beforeDeadline(fn, deadline, signal);
      if (value === undefined || value) return value as Exclude<Awaited<T>, false | null | 0 | ''>;
      failure = new Error(`it returned ${JSON.stringify(value)}`);
    } catch (error) {
      signal?.throwIfAborted();
      // That an attempt is late says less than why the one before it failed.
      if (!(error instanceof AttemptLate)) {
        if (isFinal(error)) throw error;
        failure = error;
      }
    }
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) {
      const message = (Object(failure) as Partial<Error>).message ?? String(failure);
      const before = what === undefined ? '' : `${what}: `;
      throw new Error(`${before}not within ${withinMs} ms; the last failure: ${message}`, { cause: failure });
    }
    await pause(Math.min(waitMs, leftMs), signal);
  }
}

class AttemptLate extends Error {}

async function beforeDeadline<T>(fn: () => T | Promise<T>, deadline: number, signal?: AbortSignal): Promise<T> {
  const ended = new AbortController();
  const signals = signal === undefined ? [ended.signal] : [ended.signal, signal];
  const late = pause(Math.max(1, deadline - performance.now()), AbortSignal.any(signals)).then(() => {
    throw new AttemptLate();
  });
  // Nobody awaits it once the attempt has ended.
  late.catch(() => {});
  try {
    return await Promise.race([fn(), late]);
  } finally {
    ended.abort();
  }
}
