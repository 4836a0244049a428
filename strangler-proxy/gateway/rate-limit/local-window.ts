import { type Count, countAt, type Quota, standingOf } from './sliding-window.ts';

/** Counts in this process alone; the subject that was asked about longest ago is forgotten first. */
export const createLocalWindow = (mostSubjects: number) => {
  const counts = new Map<string, { window: number; previous: number; current: number }>();
  return (subject: string, quota: Quota, nowMs: number): Count => {
    const { window, ...count } = countAt(counts.get(subject), quota.windowMs, nowMs);
    const { allowed } = standingOf(quota, count);
    // Put in anew, so that the order of the map is that of use.
    counts.delete(subject);
    counts.set(subject, { window, previous: count.previous, current: count.current + (allowed ? 1 : 0) });
    if (counts.size > mostSubjects) counts.delete(counts.keys().next().value!);
    return count;
  };
};
