/**
 * Pairs as many of `left` with one each of `right` as fit: a largest matching by augmenting paths (Kuhn 1955). Which fit is
 * asked once a pair.
 */
export const matchMost = <L, R>(
  left: readonly L[],
  right: readonly R[],
  fits: (left: L, right: R) => boolean,
): Map<L, R> => {
  const candidates = left.map((one) => right.map((_, index) => index).filter((index) => fits(one, right[index]!)));
  const holder = new Array<number>(right.length).fill(-1);
  const seat = (from: number, tried: Set<number>): boolean => {
    for (const wanted of candidates[from]!) {
      if (tried.has(wanted)) continue;
      tried.add(wanted);
      if (holder[wanted] === -1 || seat(holder[wanted]!, tried)) {
        holder[wanted] = from;
        return true;
      }
    }
    return false;
  };
  left.forEach((_, index) => {
    seat(index, new Set());
  });
  return new Map(holder.flatMap((from, index) => (from === -1 ? [] : [[left[from]!, right[index]!] as [L, R]])));
};
