/**
 * Calls `fn` until it succeeds, waiting 5 ms and then ever longer, up to 200 ms, in between, and returns its value.
 * It has failed when it throws, or returns `false`, `null`, `0` or `''`; `undefined` is success, so that assertions can
 * be passed. Throws after `withinMs`, naming the last failure.
 */
export async function eventually<T>(
  fn: () => T | Promise<T>,
  { withinMs = 30_000 }: { withinMs?: number } = {},
): Promise<Exclude<Awaited<T>, false | null | 0 | ''>> {
  const deadline = performance.now() + withinMs;
  let failure: unknown = new Error('the first attempt has not ended');
  for (let waitMs = 5; ; waitMs = Math.min(waitMs * 1.6, 200)) {
    try {
      const value = await beforeDeadline(fn, deadline);
      if (value === undefined || value) return value as Exclude<Awaited<T>, false | null | 0 | ''>;
      failure = new Error(`it returned ${JSON.stringify(value)}`);
    } catch (error) {
      // That an attempt is late says less than why the one before it failed.
      if (!(error instanceof AttemptLate)) failure = error;
    }
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) {
      const message = (Object(failure) as Partial<Error>).message ?? String(failure);
      throw new Error(`not within ${withinMs} ms; the last failure: ${message}`, { cause: failure });
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(waitMs, leftMs)));
  }
}

class AttemptLate extends Error {}

async function beforeDeadline<T>(fn: () => T | Promise<T>, deadline: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new AttemptLate()), Math.max(1, deadline - performance.now()));
  });
  try {
    return await Promise.race([fn(), late]);
  } finally {
    clearTimeout(timer);
  }
}
