import type { NoiseSnapshot } from '@strangler/platform/compare/noise.ts';
import type { Redis } from '@strangler/platform/redis.ts';
import { sliceKeys } from '@strangler/platform/shadow-report/keep.ts';
import { defaultReportPrefix } from '@strangler/platform/shadow-report/report.ts';
import { z } from 'zod';
import type { SharedNoise } from './shared-noise.ts';

export type ExchangeOptions = {
  redis: Pick<Redis, 'run'>;
  /** Before every key, as in the report. */
  prefix?: string;
  /** This worker's name among all workers of all proxies, the same after a restart. */
  worker: string;
  /** By slice. */
  noise: ReadonlyMap<string, SharedNoise>;
  everyMs?: number;
};

const everyMs = 5_000;
const keptSeconds = 86_400;

const count = z.int().min(0);
const snapshotSchema = z.object({
  endpoints: z.record(
    z.string().max(400),
    z.object({
      pairs: count,
      compared: count,
      paths: z.record(z.string().max(2_000), z.object({ inPairs: count, inCompared: count })),
    }),
  ),
});

export const noiseKey = (prefix: string, slice: string): string => `${sliceKeys(prefix, slice).base}:noise`;

/**
 * Lets all workers of all proxies judge noise by the same counts: each puts its own into one hash a slice, under its name,
 * and adds up what stands there. A worker that starts again goes on from what it had put there. While Redis is away each goes
 * by what it knows.
 */
export const exchangeNoise = (options: ExchangeOptions): { stop(): Promise<void>; exchange(): Promise<void> } => {
  const { redis, prefix = defaultReportPrefix, worker, noise } = options;
  const resumed = new Set<string>();

  const one = async (slice: string, shared: SharedNoise): Promise<void> => {
    const key = noiseKey(prefix, slice);
    const found = await redis.run((client) => client.hGetAll(key));
    if (found === undefined) return;
    const snapshots = new Map(
      Object.entries(found).flatMap(([name, text]): [string, NoiseSnapshot][] => {
        const snapshot = readSnapshot(text);
        return snapshot === null ? [] : [[name, snapshot]];
      }),
    );
    const earlier = snapshots.get(worker);
    if (!resumed.has(slice)) {
      resumed.add(slice);
      if (earlier !== undefined) shared.resume(earlier);
    }
    snapshots.delete(worker);
    shared.hear([...snapshots.values()]);
    await redis.run((client) =>
      client.multi().hSet(key, worker, JSON.stringify(shared.own())).expire(key, keptSeconds).exec(),
    );
  };
  const exchange = async (): Promise<void> => {
    // What Redis says of a wrong command concerns nobody's request either.
    for (const [slice, shared] of noise) await one(slice, shared).catch(() => {});
  };
  let running = Promise.resolve();
  const timer = setInterval(() => {
    running = running.then(exchange);
  }, options.everyMs ?? everyMs);
  timer.unref();
  return {
    exchange,
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
};

const readSnapshot = (text: string): NoiseSnapshot | null => {
  try {
    const parsed = snapshotSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
};
