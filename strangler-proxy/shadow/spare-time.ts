import { type EventLoopUtilization, performance } from 'node:perf_hooks';

/** How much of what could be sampled is sampled, by how busy this worker is. */
export type SpareTime = {
  /** The share, 0 to 1, that may be sampled now. */
  share(): number;
  close(): void;
};

export type SpareTimeOptions = {
  /** The share of the time, 0 to 1, that the event loop may be busy; 1: whatever it is. */
  maxBusy: number;
};

const lookEveryMs = 100;
/** So many looks back: a worker that is busy for a moment, with a few requests on a machine that is short of cores, is not busy. */
const looksBack = 5;
/** Even a worker that is never idle compares some, or a busy hour would be one that nobody looked at. */
export const leastShare = 0.005;

/**
 * The next share by how busy the last half a second was: halved at once where that was too much, raised bit by bit where it was clearly
 * less (additive increase, multiplicative decrease).
 */
export const nextShare = (share: number, busy: number, maxBusy: number): number => {
  if (maxBusy >= 1) return 1;
  if (busy > maxBusy) return Math.max(leastShare, share / 2);
  return busy < maxBusy * 0.8 ? Math.min(1, share + 0.05) : share;
};

/**
 * Comparing is done with what this process has to spare: asking, decoding and comparing take the time of the same event
 * loop that serves users, and where that is short it is theirs.
 */
export const measureSpareTime = ({ maxBusy }: SpareTimeOptions): SpareTime => {
  let share = 1;
  const looks: EventLoopUtilization[] = [performance.eventLoopUtilization()];
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    share = nextShare(share, performance.eventLoopUtilization(now, looks[0]!).utilization, maxBusy);
    looks.push(now);
    if (looks.length > looksBack) looks.shift();
  }, lookEveryMs);
  timer.unref();
  return { share: () => share, close: () => clearInterval(timer) };
};
