/** What a client's body must come at, lest it keeps a connection and a place among those in flight. */
export type BodyRate = {
  /** 0: however slowly. Default 240. */
  bytesPerSecond: number;
  /** Looked at once for each of these, so that a pause in an upload does no harm. Default 10 s. */
  windowMs: number;
};

export const defaultBodyRate: BodyRate = { bytesPerSecond: 240, windowMs: 10_000 };

/** Follows one body. Only time in which the client is waited for is told of, never that in which the upstream is. */
export type BodyPace = {
  /** Takes what has moved in all so far; true when a whole window has brought less than the rate. */
  isBelow(nowMs: number, movedBytes: number): boolean;
};

/** Two looks further apart than this had something else between them, and are not counted as waiting. */
const mostBetweenLooksMs = 1_000;

export function createBodyPace({ bytesPerSecond, windowMs }: BodyRate): BodyPace {
  let lookedMs: number | null = null;
  let lookedBytes = 0;
  let waitedMs = 0;
  let windowBytes = 0;
  return {
    isBelow(nowMs, movedBytes) {
      if (lookedMs !== null && nowMs - lookedMs <= mostBetweenLooksMs) {
        waitedMs += nowMs - lookedMs;
        windowBytes += movedBytes - lookedBytes;
      }
      lookedMs = nowMs;
      lookedBytes = movedBytes;
      if (waitedMs < windowMs) return false;
      const below = windowBytes < (bytesPerSecond * waitedMs) / 1_000;
      waitedMs = 0;
      windowBytes = 0;
      return below;
    },
  };
}
