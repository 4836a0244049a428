/** So many requests in so long. */
export type Quota = { limit: number; windowMs: number };

/** What was let through in the window before and in this one, and how much of this one is over. */
export type Count = { previous: number; current: number; elapsedMs: number };

/** Whether one more may pass, with what the client is told about it. */
export type Standing = {
  allowed: boolean;
  /** How many more may pass now, this one taken off where it passed. */
  remaining: number;
  /** Until one may pass, where none may; else until the quota is whole again if nothing more comes. */
  resetMs: number;
};

/** What counts as used now: this window's requests, and of the last one's the share that still lies within one window's length. */
const used = ({ windowMs }: Quota, { previous, current, elapsedMs }: Count): number =>
  current + (previous * (windowMs - elapsedMs)) / windowMs;

/**
 * The sliding window counter, as Cloudflare described it ("How we built rate limiting capable of scaling to millions of domains", 2017):
 * two counts stand for a window that slides, the older one weighted by how much of it is still inside. `count` is before this request.
 */
export const standingOf = (quota: Quota, count: Count): Standing => {
  const { limit, windowMs } = quota;
  const allowed = used(quota, count) + 1 <= limit;
  if (!allowed) return { allowed, remaining: 0, resetMs: waitMs(quota, count) };
  const remaining = Math.max(0, Math.floor(limit - used(quota, count) - 1));
  return { allowed, remaining, resetMs: 2 * windowMs - count.elapsedMs };
};

/** Milliseconds until one more may pass, if none passes before it. */
const waitMs = ({ limit, windowMs }: Quota, { previous, current, elapsedMs }: Count): number => {
  const room = limit - 1 - current;
  // Within this window the last one's share shrinks to nothing; is there room then, it is a matter of when.
  if (room >= 0) return Math.max(1, Math.ceil(windowMs - elapsedMs - (room * windowMs) / previous));
  // In the next window this one's count is the one that shrinks.
  return Math.max(1, Math.ceil(windowMs - elapsedMs + windowMs - ((limit - 1) * windowMs) / current));
};

/** Moves a count on to the window that `nowMs` lies in. */
export const countAt = (
  stored: { window: number; previous: number; current: number } | undefined,
  windowMs: number,
  nowMs: number,
): Count & { window: number } => {
  const window = Math.floor(nowMs / windowMs);
  const elapsedMs = nowMs - window * windowMs;
  if (stored?.window === window) return { ...stored, elapsedMs };
  const previous = stored?.window === window - 1 ? stored.current : 0;
  return { window, previous, current: 0, elapsedMs };
};
