export type Pace = { minMs: number; maxMs: number };

/** Polls soon while there is work, and seldom when there has been none for a while. */
export const defaultPace: Pace = { minMs: 2, maxMs: 250 };

/** Whether a read gave all that it was allowed, fewer rows, or no rows. */
export type Found = 'more' | 'some' | 'none';

/** How long to wait before the next poll: not at all while there is more, little after some, ever longer while there is none. */
export function nextPollMs(previousMs: number, found: Found, { minMs, maxMs }: Pace): number {
  if (found === 'more') return 0;
  if (found === 'some') return minMs;
  return Math.min(maxMs, Math.max(minMs, previousMs * 2));
}

/** How many rows of this weight, in bytes, to read at once: as many as fit, at least one. */
export function batchLimit(maxRows: number, maxBytes: number, rowBytes: number): number {
  return Math.max(1, Math.min(maxRows, Math.floor(maxBytes / Math.max(1, rowBytes))));
}

/** The weight to expect of a row after having seen a batch: at once as high as it was, and only slowly lower. */
export function expectedRowBytes(expected: number, batchBytes: number, rows: number): number {
  if (rows === 0) return expected;
  const seen = batchBytes / rows;
  return seen >= expected ? seen : expected * 0.9 + seen * 0.1;
}

/** A wait that can be ended early from elsewhere; a wake-up while nobody waits ends the next wait at once. */
export type Wake = { wake(): void; wait(ms: number): Promise<void> };

export function createWake(): Wake {
  let woken = false;
  let end: (() => void) | undefined;
  return {
    wake() {
      woken = true;
      end?.();
    },
    async wait(ms) {
      if (!woken && ms > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          end = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        end = undefined;
      }
      woken = false;
    },
  };
}
