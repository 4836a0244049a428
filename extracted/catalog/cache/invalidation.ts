import type { Log } from '@strangler/platform/log.ts';
import { Gauge, type Registry } from 'prom-client';
import type { CacheLink } from './cache-link.ts';
import { ANNOUNCEMENT_TTL_MS, announcement, GENERATION_TTL_MS, generationKey, newGeneration } from './generation.ts';
import { everythingScope, type Scope } from './scope.ts';

export type CacheInvalidation = {
  /**
   * Runs `write`, which commits a change of these scopes, so that whoever asks after it returned is not answered with
   * what was true before. `more` names scopes that are known only afterwards.
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
 * A write is announced before it commits and gets its scopes new generations after. In between nothing that is read is kept;
 * afterwards nothing that was read before is believed, however late it is put into the cache. What Redis could not be
 * told is owed, tried again until it is done, and this process reads past the cache until then.
 */
export function createInvalidation({
  link,
  log,
  registry,
}: {
  link: CacheLink | undefined;
  log: Log;
  registry?: Registry;
}): CacheInvalidation {
  const owed = new Set<Scope>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  if (registry) {
    new Gauge({
      name: 'catalog_cache_owed_invalidations',
      help: 'Scopes that have changed and of which Redis could not be told yet.',
      registers: [registry],
      collect() {
        this.set(owed.size);
      },
    });
  }

  const put = async (scopes: readonly Scope[], value: () => string, ttlMs: number): Promise<boolean> => {
    const done = await link?.run((client) =>
      Promise.all(scopes.map((scope) => client.set(generationKey(scope), value(), { PX: ttlMs }))),
    );
    return done !== undefined;
  };

  const settle = async (scopes: readonly Scope[]): Promise<void> => {
    if (link === undefined || scopes.length === 0) return;
    if (await put(scopes, newGeneration, GENERATION_TTL_MS)) return;
    if (owed.size === 0)
      log.warn({ scopes: scopes.length }, 'the cache could not be told of a change; reading past it');
    for (const scope of scopes) owed.add(scope);
    if (owed.size > MOST_OWED) {
      owed.clear();
      owed.add(everythingScope);
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
    const scopes = [...owed];
    const told = await put(scopes, newGeneration, GENERATION_TTL_MS).catch(() => false);
    // What changed again meanwhile has told for itself, or stands here again.
    if (told) for (const scope of scopes) owed.delete(scope);
    if (owed.size > 0) retryLater();
    else log.info('the cache has been told of all changes');
  };

  return {
    async around(scopes, write, more = () => []) {
      if (link === undefined) return write();
      // Best effort: it only matters when this process dies before `settle`.
      await put(scopes, announcement, ANNOUNCEMENT_TTL_MS).catch(() => false);
      let after = scopes;
      try {
        const result = await write();
        after = [...scopes, ...more(result)];
        return result;
      } finally {
        // Also after a failure, whose outcome may be unknown.
        await settle(after);
      }
    },
    changed: settle,
    owing: () => owed.size > 0,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
