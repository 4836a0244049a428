import { pause } from '@strangler/platform/backoff.ts';
import type { Fact } from './check.ts';

/** A server that is frozen neither answers nor refuses. */
const patienceMs = 10_000;

/** What `ask` gives, or in one line why not; never rejects, and never takes longer than `withinMs`. */
export async function factOf<T>(ask: () => Promise<T>, withinMs = patienceMs): Promise<Fact<T>> {
  const waiting = new AbortController();
  const late = pause(withinMs, waiting.signal).then((): Fact<T> => {
    return { known: false, why: `no answer within ${withinMs / 1_000} s` };
  });
  const asked = Promise.resolve()
    .then(ask)
    .then(
      (value): Fact<T> => ({ known: true, value }),
      (error: unknown): Fact<T> => ({ known: false, why: oneLine(error) }),
    );
  try {
    return await Promise.race([asked, late]);
  } finally {
    waiting.abort();
  }
}

const oneLine = (error: unknown): string => {
  const { message, code } = (error ?? {}) as { message?: string; code?: string };
  return (message || code || String(error)).replace(/\s+/g, ' ').slice(0, 500);
};
