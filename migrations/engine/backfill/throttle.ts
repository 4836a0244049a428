import type { Pool } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';

/** Whether long work may go on now; `waitMs` is when to ask again. */
export type ThrottleVerdict = { kind: 'go' } | { kind: 'wait'; reason: string; waitMs: number };

/** Asked before each chunk. What it throws stops the work. */
export type Throttle = () => Promise<ThrottleVerdict>;

const askAgainMs = 250;

/** Waits while the changes that are captured come to the target later than `maxMs`. */
export const lagThrottle = (readLagMs: () => Promise<number>, maxMs: number): Throttle => {
  return async () => {
    const lagMs = await readLagMs();
    if (lagMs <= maxMs) return { kind: 'go' };
    return { kind: 'wait', reason: `lag of ${Math.round(lagMs)} ms, bound ${maxMs} ms`, waitMs: askAgainMs };
  };
};

/** Waits while more than `maxRunning` sessions of a server are at work at once. */
export const loadThrottle = (pool: Pick<Pool, 'query'>, maxRunning: number): Throttle => {
  return async () => {
    const [status] = await rowsOf<{ Value: string }>(pool, "SHOW GLOBAL STATUS LIKE 'Threads_running'");
    const running = Number(status?.Value ?? 0);
    if (running <= maxRunning) return { kind: 'go' };
    return {
      kind: 'wait',
      reason: `${running} sessions at work in the source, bound ${maxRunning}`,
      waitMs: askAgainMs,
    };
  };
};

/** The first of them that says wait, else go. */
export const askAll = async (throttles: readonly Throttle[]): Promise<ThrottleVerdict> => {
  for (const throttle of throttles) {
    const verdict = await throttle();
    if (verdict.kind === 'wait') return verdict;
  }
  return { kind: 'go' };
};
