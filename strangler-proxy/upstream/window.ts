/**
 * How many attempts went well and how many did not, over a window that slides in halves: what is counted is never
 * older than the whole width and always covers at least half of it. Two halves instead of many buckets, because a
 * new value is made for every answered request and must cost next to nothing.
 */
export type OutcomeWindow = {
  /** Which half of the width, counted from the clock's zero, is being filled. */
  half: number;
  successes: number;
  failures: number;
  previousSuccesses: number;
  previousFailures: number;
};

export type OutcomeCounts = { total: number; failures: number };

export function emptyWindow(nowMs: number, widthMs: number): OutcomeWindow {
  return { half: halfAt(nowMs, widthMs), successes: 0, failures: 0, previousSuccesses: 0, previousFailures: 0 };
}

/** The window with one more outcome in it. A clock that went back counts into the half being filled. */
export function recordOutcome(
  window: OutcomeWindow,
  verdict: 'success' | 'failure',
  nowMs: number,
  widthMs: number,
): OutcomeWindow {
  const slid = slide(window, nowMs, widthMs);
  return verdict === 'success' ? { ...slid, successes: slid.successes + 1 } : { ...slid, failures: slid.failures + 1 };
}

export function countOutcomes(window: OutcomeWindow, nowMs: number, widthMs: number): OutcomeCounts {
  const slid = slide(window, nowMs, widthMs);
  const failures = slid.failures + slid.previousFailures;
  return { failures, total: failures + slid.successes + slid.previousSuccesses };
}

/** Whether the window holds enough outcomes to judge by, and too many of them are failures. */
export function failsTooOften(
  window: OutcomeWindow,
  nowMs: number,
  policy: { windowMs: number; minimumVolume: number; failureShare: number },
): boolean {
  const { total, failures } = countOutcomes(window, nowMs, policy.windowMs);
  return total >= policy.minimumVolume && failures >= total * policy.failureShare;
}

function slide(window: OutcomeWindow, nowMs: number, widthMs: number): OutcomeWindow {
  const half = halfAt(nowMs, widthMs);
  if (half <= window.half) return window;
  const adjacent = half === window.half + 1;
  return {
    half,
    successes: 0,
    failures: 0,
    previousSuccesses: adjacent ? window.successes : 0,
    previousFailures: adjacent ? window.failures : 0,
  };
}

function halfAt(nowMs: number, widthMs: number): number {
  return Math.floor((nowMs * 2) / widthMs);
}
