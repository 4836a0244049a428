/**
 * Whether Redis is worth asking: after a miss nobody asks it for a while, then one request tries, so that a Redis that hangs costs
 * one request its time-out every `pauseMs`, and one that is gone costs none.
 */
export type RedisCircuit = {
  /** Whether this request may ask; one that may must say how it went. */
  mayAsk(nowMs: number): boolean;
  answered(): void;
  missed(nowMs: number): void;
};

export const createRedisCircuit = (pauseMs: number): RedisCircuit => {
  let closedUntilMs: number | null = null;
  let trying = false;
  return {
    mayAsk(nowMs) {
      if (closedUntilMs === null) return true;
      if (trying || nowMs < closedUntilMs) return false;
      trying = true;
      return true;
    },
    answered() {
      closedUntilMs = null;
      trying = false;
    },
    missed(nowMs) {
      closedUntilMs = nowMs + pauseMs;
      trying = false;
    },
  };
};
