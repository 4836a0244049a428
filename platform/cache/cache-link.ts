import type { Log } from '../log.ts';
import type { Redis } from '../redis.ts';

type RedisClient = Redis['client'];

/** The way to Redis, with a circuit: a Redis that hangs is asked by one request now and then, and costs the others nothing. */
export type CacheLink = {
  /** Runs commands; undefined at once while the circuit is open, and after the time-out at the latest. */
  run<T>(command: (client: RedisClient) => Promise<T>): Promise<T | undefined>;
  /** Whether there is a connection, however slow. */
  connected(): boolean;
};

export type CacheLinkOptions = {
  redis: Pick<Redis, 'run' | 'ready'>;
  log: Log;
  /** How many commands in a row must go without an answer for the circuit to open, 3 unless told. */
  failuresToOpen?: number;
  /** How long it stays open before one command is tried, 1000 ms unless told. */
  openMs?: number;
  now?: () => number;
};

export function createCacheLink({
  redis,
  log,
  failuresToOpen = 3,
  openMs = 1000,
  now = () => performance.now(),
}: CacheLinkOptions): CacheLink {
  let failures = 0;
  let openUntil = 0;

  return {
    connected: () => redis.ready(),
    async run(command) {
      // A connection that is known to be lost costs no time, and is taken up again the moment it is back.
      if (!redis.ready()) return undefined;
      if (failures >= failuresToOpen) {
        if (now() < openUntil) return undefined;
        openUntil = now() + openMs;
      }
      const answer = await redis.run(command).catch((error: unknown) => {
        // What Redis says of a wrong command must not become a failed request either.
        log.error({ err: error }, 'Redis refused a command of the cache');
        return undefined;
      });
      if (answer !== undefined) {
        failures = 0;
        return answer;
      }
      failures += 1;
      if (failures >= failuresToOpen) openUntil = now() + openMs;
      return undefined;
    },
  };
}
