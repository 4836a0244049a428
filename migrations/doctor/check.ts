/** `warn`: it works, and something about it is not as it should be. `fail`: something does not work, or soon will not. */
export type Outcome = 'ok' | 'warn' | 'fail';

export const areas = [
  'slices',
  'databases',
  'outbox',
  'broker',
  'redis',
  'flags',
  'fences',
  'proxies',
  'writers',
  'disk',
] as const;
export type Area = (typeof areas)[number];

/** One thing that was looked at. */
export type Check = {
  area: Area;
  /** A fixed name: what scripts look for. */
  check: string;
  /** Which server, slice or process; an address without user and password. */
  where: string;
  outcome: Outcome;
  expected: string;
  found: string;
  /** What to do; null where all is well. */
  next: string | null;
};

type About = Pick<Check, 'area' | 'check' | 'where' | 'expected'>;

export const ok = (about: About, found: string): Check => ({ ...about, outcome: 'ok', found, next: null });
export const warn = (about: About, found: string, next: string): Check => ({ ...about, outcome: 'warn', found, next });
export const fail = (about: About, found: string, next: string): Check => ({ ...about, outcome: 'fail', found, next });

/** A fact, or why it could not be had, in one line. */
export type Fact<T> = { known: true; value: T } | { known: false; why: string };

export const worst = (checks: readonly Check[]): Outcome =>
  checks.some(({ outcome }) => outcome === 'fail')
    ? 'fail'
    : checks.some(({ outcome }) => outcome === 'warn')
      ? 'warn'
      : 'ok';

/** `3 ms`, `1.2 s`, `5 min`. */
export const spanText = (ms: number): string => {
  const size = Math.abs(ms);
  if (size < 1_000) return `${Math.round(ms)} ms`;
  return size < 120_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
};
