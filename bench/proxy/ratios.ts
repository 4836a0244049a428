/** The middle value; the mean of the two in the middle for an even number of them. @throws RangeError for none. */
export const median = (values: readonly number[]): number => {
  if (values.length === 0) throw new RangeError('the median of no values');
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

/**
 * The median over the rounds of ours divided by theirs in the same round: what slows the machine for a while slows both.
 * @throws RangeError where the rounds do not match.
 */
export const medianRatio = (ours: readonly number[], theirs: readonly number[]): number => {
  if (ours.length !== theirs.length) throw new RangeError(`${ours.length} rounds against ${theirs.length}`);
  return median(ours.map((value, round) => value / theirs[round]!));
};
