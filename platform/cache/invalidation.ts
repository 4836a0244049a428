import { Gauge, type Registry } from 'prom-client';
import { pause } from '../backoff.ts';
import { readFenceRefusal } from '../contracts/fence-refusal.ts';
import { Problem } from '../http/problem.ts';
import type { Log } from '../log.ts';
import type { CacheLink } from './cache-link.ts';
import {
  ANNOUNCEMENT_TTL_MS,
  announcement,
  GENERATION_TTL_MS,
  type Generation,
  generationKey,
  isAnnouncement,
  newGeneration,
} from './generation.ts';
import { everythingScope, type Scope } from './scope.ts';

export type CacheInvalidation = {
  /**
   * Runs `write`, which commits a change of these scopes, so that whoever asks after it returned is not answered with
   * what was true before. `more` names scopes that are known only afterwards. A write that throws a Problem or that the
   * fence refuses has changed nothing, and leaves the cache as it was.
   */
  around<T>(scopes: readonly Scope[], write: () => Promise<T>, more?: (result: T) => readonly Scope[]): Promise<T>;
  /** Says that these scopes have changed already. */
  changed(scopes: readonly Scope[]): Promise<void>;
  /** True while Redis has not yet been told of a change: nothing in it may be believed. */
  owing(): boolean;
  close(): void;
};

/** More scopes that Redis has to be told of than these become one: everything. */
const MOST_OWED = 1_000;

const RETRY_MS = 50;

/**
 * For how long Redis is told of a change before the change is owed. One that cannot be reached is away for the other instances
 * as well, most likely, and they read past it; one that is merely slow to answer here serves them what was true before, and
 * is waited for until after its circuit has let a command through again.
 */
const SETTLE_MS = { unreachable: 200, slow: 2_500 } as const;
const SETTLE_PAUSE_MS = 25;

/** Takes an announcement back, unless somebody else has written there since. */
const RETRACT = `
  if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
  return 1`;

/** A scope's announcement, and the generation that it stands in place of. */
type Announced = { scope: Scope; announcement: Generation; before: Generation | null };

/**
 * A write is announced before it commits and gets its scopes new generations after. In between nothing that is read is kept;
 * afterwards nothing that was read before is believed, however late it is put into the cache. What Redis could not be
 * told is owed, tried again until it is done, and this process reads past the cache until then.
 */
export function createInvalidation({
  link,
  log,
  registry,
  name,
}: {
  link: CacheLink | undefined;
  log: Log;
  registry?: Registry;
  /** The first words of its metric, `catalog_cache` say. */
  name: string;
}): CacheInvalidation {
  /** Each with the number of the change that is owed last. */
  const owed = new Map<Scope, number>();
  let changes = 0;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  if (registry) {
    new Gauge({
      name: `${name}_owed_invalidations`,
      help: 'Scopes that have changed and of which Redis could not be told yet.',
      registers: [registry],
      collect() {
        this.set(owed.size);
      },
    });
  }

  const put = async (scopes: readonly Scope[]): Promise<boolean> => {
    const done = await link?.run((client) =>
      Promise.all(scopes.map((scope) => client.set(generationKey(scope), newGeneration(), { PX: GENERATION_TTL_MS }))),
    );
    return done !== undefined;
  };

  /** Other instances believe the cache until it is told: a write waits for that a while, where a read would not. */
  const putPatiently = async (scopes: readonly Scope[]): Promise<boolean> => {
    const beganMs = performance.now();
    // Redis is known to be away while something is owed; waiting for it again would make each write slow.
    const isKnown = owed.size > 0;
    for (;;) {
      if (await put(scopes)) return true;
      const mostMs = link?.connected() ? SETTLE_MS.slow : SETTLE_MS.unreachable;
      if (isKnown || performance.now() - beganMs >= mostMs) return false;
      await pause(SETTLE_PAUSE_MS);
    }
  };

  /** Best effort: it only matters when this process dies before `settle`. */
  const announce = (scopes: readonly Scope[]): Promise<Announced[] | undefined> | undefined =>
    link?.run((client) =>
      Promise.all(
        scopes.map(async (scope) => {
          const own = announcement();
          const before = await client.set(generationKey(scope), own, { PX: ANNOUNCEMENT_TTL_MS, GET: true });
          return { scope, announcement: own, before };
        }),
      ),
    );

  /** Puts back what was there before. What stood on another's announcement may have changed by that one. */
  const retract = async (announced: Announced[]): Promise<void> => {
    const done = await link?.run((client) =>
      Promise.all(
        announced.map(({ scope, announcement: own, before }) => {
          const after = before === null || isAnnouncement(before) ? newGeneration() : before;
          return client.eval(RETRACT, {
            keys: [generationKey(scope)],
            arguments: [own, after, `${GENERATION_TTL_MS}`],
          });
        }),
      ),
    );
    if (done === undefined) log.debug('an announcement to the cache could not be taken back; it runs out by itself');
  };

  const settle = async (scopes: readonly Scope[]): Promise<void> => {
    if (link === undefined || scopes.length === 0) return;
    if (await putPatiently(scopes)) return;
    if (owed.size === 0)
      log.warn({ scopes: scopes.length }, 'the cache could not be told of a change; reading past it');
    changes += 1;
    for (const scope of scopes) owed.set(scope, changes);
    if (owed.size > MOST_OWED) {
      owed.clear();
      owed.set(everythingScope, changes);
    }
    retryLater();
  };

  const retryLater = (): void => {
    if (closed || timer !== undefined) return;
    timer = setTimeout(() => void retry(), RETRY_MS);
    timer.unref();
  };

  const retry = async (): Promise<void> => {
    timer = undefined;
    const telling = [...owed];
    if (await put(telling.map(([scope]) => scope))) {
      // What changed again while Redis was being told is owed still.
      for (const [scope, change] of telling) if (owed.get(scope) === change) owed.delete(scope);
    }
    if (owed.size > 0) retryLater();
    else log.info('the cache has been told of all changes');
  };

  return {
    async around<T>(
      scopes: readonly Scope[],
      write: () => Promise<T>,
      more: (result: T) => readonly Scope[] = () => [],
    ) {
      if (link === undefined) return write();
      const announced = await announce(scopes);
      let result: T;
      try {
        result = await write();
      } catch (error) {
        // A Problem and the fence say that nothing was written; after any other failure nobody knows.
        const unwritten = error instanceof Problem || readFenceRefusal(error) !== undefined;
        if (unwritten && announced) await retract(announced);
        else await settle(scopes);
        throw error;
      }
      await settle([...scopes, ...more(result)]);
      return result;
    },
    changed: settle,
    owing: () => owed.size > 0,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
