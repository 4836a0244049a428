/** A write that is over, by method and route, and how long it was under way. */
export type SlowestWrite = { readonly route: string; readonly tookMs: number };

export type Slowest = {
  note(write: SlowestWrite, nowMs: number): void;
  /** The longest of those that ended within the last `spanMs`; it may be as old as twice that. */
  of(nowMs: number): SlowestWrite | null;
};

/** Remembers the longest write of this span of time and of the one before, and nothing else. */
export const rememberSlowest = (spanMs: number): Slowest => {
  let span = 0;
  let current: SlowestWrite | null = null;
  let previous: SlowestWrite | null = null;

  const moveTo = (nowMs: number): void => {
    const now = Math.floor(nowMs / spanMs);
    if (now === span) return;
    previous = now === span + 1 ? current : null;
    current = null;
    span = now;
  };
  return {
    note(write, nowMs) {
      moveTo(nowMs);
      if (current === null || write.tookMs > current.tookMs) current = write;
    },
    of(nowMs) {
      moveTo(nowMs);
      if (current === null || previous === null) return current ?? previous;
      return current.tookMs >= previous.tookMs ? current : previous;
    },
  };
};
