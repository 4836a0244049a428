/** A stream of pseudo-random values: the same for the same keys, on every machine. */
export type Random = {
  /** From 0 up to and without 1. */
  next(): number;
  /** From `min` to `max`, both possible. */
  integer(min: number, max: number): number;
  pick<T>(choices: readonly T[]): T;
  /** True with this probability. */
  chance(probability: number): boolean;
  /** From an exponential distribution with this mean. */
  exponential(mean: number): number;
};

/**
 * A stream of its own for each combination of keys, so that any row can be made without making those before it. The
 * generator is sfc32 of PractRand (C. Doty-Humphrey), started from four hashes of the keys.
 */
export function createRandom(...keys: readonly (string | number)[]): Random {
  const text = keys.join('\0');
  let a = hash(text, 0x9e3779b9);
  let b = hash(text, 0x243f6a88);
  let c = hash(text, 0xb7e15162);
  let counter = 1;

  const bits = (): number => {
    const result = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + result;
    c |= 0;
    return result >>> 0;
  };
  for (let warmUp = 0; warmUp < 12; warmUp++) bits();

  const next = () => bits() / 2 ** 32;
  return {
    next,
    integer: (min, max) => min + Math.floor(next() * (max - min + 1)),
    pick: (choices) => choices[Math.floor(next() * choices.length)] as (typeof choices)[number],
    chance: (probability) => next() < probability,
    exponential: (mean) => -Math.log(1 - next()) * mean,
  };
}

/** FNV-1a over the UTF-16 units, with the finishing steps of MurmurHash3 (A. Appleby). */
function hash(text: string, basis: number): number {
  let h = basis | 0;
  for (let at = 0; at < text.length; at++) h = Math.imul(h ^ text.charCodeAt(at), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
