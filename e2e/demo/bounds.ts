/** One promise of a demo: a figure that was measured, and the bound that it must keep. */
export type Bound = { name: string; figure: number; bound: number; ok: boolean };

export const atMost = (name: string, figure: number, bound: number): Bound => ({
  name,
  figure,
  bound,
  ok: figure <= bound,
});
export const atLeast = (name: string, figure: number, bound: number): Bound => ({
  name,
  figure,
  bound,
  ok: figure >= bound,
});

/** The bounds as a table for people. */
export const formatBounds = (bounds: readonly Bound[]): string => {
  const width = Math.max(...bounds.map(({ name }) => name.length));
  return bounds
    .map(
      ({ name, figure, bound, ok }) =>
        `${ok ? 'kept  ' : 'BROKEN'}  ${name.padEnd(width)}  ${figure}  (bound ${bound})`,
    )
    .join('\n');
};
