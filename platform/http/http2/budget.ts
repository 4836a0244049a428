/** So many at once, and so many a second in the long run. */
export type BudgetBounds = { burst: number; perSecond: number };

/** What a client may do that costs it nothing and costs the server something. */
export type Budget = {
  /** False where it was one too many. `nowMs` only grows. */
  spend(nowMs: number): boolean;
};

/** A bucket that is full at first, and is filled again as time goes by. */
export const createBudget = ({ burst, perSecond }: BudgetBounds, startMs: number): Budget => {
  let left = burst;
  let filledMs = startMs;
  return {
    spend(nowMs) {
      left = Math.min(burst, left + ((nowMs - filledMs) / 1_000) * perSecond);
      filledMs = nowMs;
      if (left < 1) return false;
      left -= 1;
      return true;
    },
  };
};
