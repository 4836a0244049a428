/** Bounds of one chunk. */
export type ChunkLimits = {
  minRows: number;
  maxRows: number;
  /** About how much a chunk may take in memory and in one packet to the server. */
  maxBytes: number;
  /** How long writing one should take: locks are held that long, and a stop is waited for that long. */
  goalMs: number;
};

export const defaultChunkLimits: ChunkLimits = { minRows: 16, maxRows: 5000, maxBytes: 4 * 1024 * 1024, goalMs: 200 };

/** What the last chunk was like. */
export type ChunkTaken = { rows: number; bytes: number; tookMs: number };

/** How many rows the next chunk has: as many as should take the goal's time, at most four times those of the last one. */
export const nextChunkRows = (last: ChunkTaken | null, limits: ChunkLimits): number => {
  // The first rows tell how large rows are.
  if (last === null || last.rows === 0) return limits.minRows;
  const byTime = last.tookMs <= 0 ? Number.POSITIVE_INFINITY : (last.rows * limits.goalMs) / last.tookMs;
  const byBytes = last.bytes <= 0 ? Number.POSITIVE_INFINITY : (last.rows * limits.maxBytes) / last.bytes;
  const rows = Math.floor(Math.min(byTime, byBytes, last.rows * 4, limits.maxRows));
  // Where single rows are huge the bound on bytes goes before the least number of rows.
  return Math.max(1, Math.min(Math.max(rows, limits.minRows), Math.floor(byBytes), limits.maxRows));
};

/** Rows a second over the last while: older chunks weigh less, by half for every ten seconds. */
export type Rate = { perSecond: number; weightMs: number };

export const noRate: Rate = { perSecond: 0, weightMs: 0 };

const halfLifeMs = 10_000;

export const addToRate = (rate: Rate, rows: number, tookMs: number): Rate => {
  const spentMs = Math.max(tookMs, 0.001);
  const keptMs = rate.weightMs * 0.5 ** (spentMs / halfLifeMs);
  const weightMs = keptMs + spentMs;
  return { perSecond: (rate.perSecond * keptMs + rows * 1000) / weightMs, weightMs };
};

/** How long the rest will take, in milliseconds; null where the estimate of rows was too low or there is no rate yet. */
export const etaMs = (rowsEstimate: number, rowsDone: number, rate: Rate): number | null =>
  rate.perSecond <= 0 || rowsDone > rowsEstimate ? null : ((rowsEstimate - rowsDone) / rate.perSecond) * 1000;
