export const codings = ['br', 'zstd', 'gzip'] as const;
export type Coding = (typeof codings)[number];

/**
 * The coding that a request likes best of those that are offered, in the order of the offer where it likes several alike; null:
 * none, the body stays as it is (RFC 9110 §12.5.3). What cannot be read counts as not said.
 */
export function negotiate(acceptEncoding: string | undefined, offered: readonly Coding[]): Coding | null {
  if (acceptEncoding === undefined) return null;
  const wishes = new Map<string, number>();
  for (const part of acceptEncoding.split(',')) {
    const [coding = '', ...parameters] = part.split(';').map((word) => word.trim().toLowerCase());
    if (coding === '') continue;
    const weight = weightOf(parameters);
    if (weight !== null) wishes.set(coding === 'x-gzip' ? 'gzip' : coding, weight);
  }
  const weightFor = (coding: string): number => wishes.get(coding) ?? wishes.get('*') ?? 0;
  let best: Coding | null = null;
  for (const coding of offered) {
    if (weightFor(coding) > (best === null ? 0 : weightFor(best))) best = coding;
  }
  // Identity is acceptable unless it is ruled out; it wins only where it is liked better by name.
  return best !== null && (wishes.get('identity') ?? 0) > weightFor(best) ? null : best;
}

/** 0 to 1; null where it cannot be read. */
function weightOf(parameters: readonly string[]): number | null {
  const told = parameters.find((parameter) => /^q\s*=/.test(parameter));
  if (told === undefined) return 1;
  const value = told.slice(told.indexOf('=') + 1).trim();
  return /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(value) ? Number(value) : null;
}
