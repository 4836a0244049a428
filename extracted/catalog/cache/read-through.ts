import { createHash, randomBytes } from 'node:crypto';
import type { CacheLink } from '@strangler/platform/cache/cache-link.ts';
import {
  GENERATION_TTL_MS,
  type Generation,
  generationKey,
  isAnnouncement,
  newGeneration,
  STORE_UNDER_GENERATIONS,
} from '@strangler/platform/cache/generation.ts';
import type { CacheInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { everythingScope, type Scope } from '@strangler/platform/cache/scope.ts';
import { createFlights, createTurns } from '@strangler/platform/cache/single-flight.ts';
import type { Log } from '@strangler/platform/log.ts';
import { Counter, type Registry } from 'prom-client';
import type { Representation } from '../http/representation.ts';
import { decodeEntry, type Entry, encodeEntry } from './entry.ts';

export type CachedKind = 'product' | 'products' | 'reviews' | 'categories';

export type CacheRead = {
  kind: CachedKind;
  /** Everything that tells this answer from others of its kind. */
  key: string;
  /** What the answer stands on, beside everything. */
  scope: Scope;
  /** Reads the database; undefined when there is no such thing. */
  load(): Promise<Representation | undefined>;
};

/**
 * How a read was answered. `hit`: from Redis. `stale`: from Redis, past its freshness though nothing it stands on has
 * changed, while one request builds it anew. `miss`: from the database. `writing`: from the database, because a write is
 * under way. `away`: from the database, because Redis gave no answer or may not be believed. `skipped`: from the database,
 * because too many things were asked for that there are not.
 */
export type CacheOutcome = 'hit' | 'stale' | 'miss' | 'writing' | 'away' | 'skipped';

export type ReadThrough = {
  read(read: CacheRead): Promise<Representation | undefined>;
};

export type CacheTimes = {
  /** An entry is fresh for this long, more or less a tenth, so that entries made together do not end together. */
  freshMs: number;
  /** An entry is kept this long at most. */
  keepMs: number;
  /** That there is no such thing is kept this long. */
  missingMs: number;
};

export type ReadThroughOptions = {
  /** Undefined: there is no Redis. */
  link: CacheLink | undefined;
  invalidation: Pick<CacheInvalidation, 'owing'>;
  times: CacheTimes;
  log: Log;
  registry: Registry;
  /** How many missing things are remembered in `missingMs` at most, 1000 unless told: a scan of ids fills no memory. */
  mostMissing?: number;
  /** How long a read waits for another process that builds what it wants before it reads the database itself, 150 ms unless told. */
  buildWaitMs?: number;
};

/** A larger answer is not kept. */
const LARGEST_BODY_BYTES = 256 * 1024;

/** How long another process may build an entry before somebody else does. */
const BUILD_LOCK_MS = 2_000;
const BUILD_POLL_MS = 10;

const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/** What Redis holds for a read. */
type Present = {
  kind: 'present';
  generations: readonly Generation[];
  writing: boolean;
  entry: Entry | undefined;
};
type Look = Present | { kind: 'away' } | { kind: 'skipped' };

/**
 * Reads answers through Redis. Every entry carries the generations that it was made under, read before the database was, and
 * is believed only while they are the present ones: a change of a generation beats any fill, however slow.
 */
export function createReadThrough(options: ReadThroughOptions): ReadThrough {
  const { link, invalidation, times, log, registry, mostMissing = 1000, buildWaitMs = 150 } = options;
  const flights = createFlights<Representation | undefined>();
  const turns = createTurns<Representation | undefined>();
  const outcomes = new Counter({
    name: 'catalog_cache_reads_total',
    help: 'Reads by how they were answered: hit, stale, miss, writing, away.',
    labelNames: ['kind', 'outcome'],
    registers: [registry],
  });
  const missing = createBudget(mostMissing, times.missingMs);

  /** What is in Redis now, by one round trip; a second one where a generation has to be made. */
  const look = async (cache: CacheLink, { key, scope }: CacheRead): Promise<Look> => {
    const generationKeys = generationKeysOf(scope);
    const found = await cache.run((client) => client.mGet([key, ...generationKeys]));
    if (found === undefined) return { kind: 'away' };
    const [text, ...known] = found;
    let generations: (Generation | null)[] = known;
    if (generations.includes(null)) {
      if (missing.spent()) return { kind: 'skipped' };
      generations = (await makeGenerations(cache, generationKeys)) ?? [null];
    }
    if (!generations.every((generation) => generation !== null)) return { kind: 'away' };
    return { kind: 'present', generations, writing: generations.some(isAnnouncement), entry: decodeEntry(text) };
  };

  const makeGenerations = (cache: CacheLink, keys: string[]): Promise<(Generation | null)[] | undefined> =>
    cache.run(async (client) => {
      const set = keys.map((key) => client.set(key, newGeneration(), { PX: times.missingMs, NX: true }));
      const [generations] = await Promise.all([client.mGet(keys), ...set]);
      return generations;
    });

  /** Not awaited by any request. */
  const store = async (
    cache: CacheLink,
    { key, scope }: CacheRead,
    generations: readonly Generation[],
    value: Representation | undefined,
  ): Promise<void> => {
    if (value === undefined && !missing.spend()) return;
    if (value !== undefined && Buffer.byteLength(value.body) > LARGEST_BODY_BYTES) return;
    const [keepMs, freshMs] =
      value === undefined ? [times.missingMs, times.missingMs] : [times.keepMs, jittered(times.freshMs)];
    const text = encodeEntry({ stamp: stampOf(generations), freshUntilMs: Date.now() + freshMs, value });
    const generationMs = value === undefined ? times.missingMs : GENERATION_TTL_MS;
    await cache.run((client) =>
      client.eval(STORE_UNDER_GENERATIONS, {
        keys: [key, ...generationKeysOf(scope)],
        arguments: [text, `${keepMs}`, `${generationMs}`, ...generations],
      }),
    );
  };

  /** Builds an entry; one process at a time, as far as Redis can see to it. */
  const build = async (cache: CacheLink, read: CacheRead, generations: readonly Generation[]) => {
    const stamp = stampOf(generations);
    const lockKey = `lock:${read.key}:${stamp}`;
    const owner = randomBytes(9).toString('base64url');
    // Redis answers OK or null; null is an answer, undefined is none.
    const locked = await cache.run(async (client) => ({
      taken: (await client.set(lockKey, owner, { PX: BUILD_LOCK_MS, NX: true })) !== null,
    }));
    if (locked?.taken === false) {
      const built = await awaitEntry(cache, read.key, lockKey, stamp);
      if (built) return { result: built.value };
    }
    const release = async (): Promise<void> => {
      if (locked?.taken) await cache.run((client) => client.eval(RELEASE, { keys: [lockKey], arguments: [owner] }));
    };
    let result: Representation | undefined;
    try {
      result = await read.load();
    } catch (error) {
      await release();
      throw error;
    }
    const linger = store(cache, read, generations, result)
      .then(release)
      .catch((error) => log.warn({ err: error, kind: read.kind }, 'an entry of the cache could not be stored'));
    return { result, linger };
  };

  const awaitEntry = async (
    cache: CacheLink,
    key: string,
    lockKey: string,
    stamp: string,
  ): Promise<Entry | undefined> => {
    const deadline = performance.now() + buildWaitMs;
    while (performance.now() < deadline) {
      const found = await cache.run((client) => client.mGet([key, lockKey]));
      if (found === undefined) return undefined;
      const entry = decodeEntry(found[0]);
      if (entry?.stamp === stamp && entry.freshUntilMs > Date.now()) return entry;
      if (found[1] === null) return undefined;
      await new Promise((resolve) => setTimeout(resolve, BUILD_POLL_MS));
    }
    return undefined;
  };

  const answer = async (
    cache: CacheLink | undefined,
    read: CacheRead,
  ): Promise<{ outcome: CacheOutcome; value: Representation | undefined }> => {
    const direct = (outcome: CacheOutcome) => turns.take(read.key, read.load).then((value) => ({ outcome, value }));

    if (cache === undefined || invalidation.owing()) return direct('away');
    const present = await look(cache, read);
    // Asked again: a change may have become owed while Redis was answering.
    if (present.kind === 'away' || invalidation.owing()) return direct('away');
    if (present.kind === 'skipped') return direct('skipped');
    if (present.writing) return direct('writing');
    const { entry, generations } = present;
    const flight = `${read.key}|${stampOf(generations)}`;
    const joinFlight = () => flights.join(flight, () => build(cache, read, generations));

    if (entry?.stamp !== stampOf(generations)) return { outcome: 'miss', value: await joinFlight() };
    if (entry.freshUntilMs > Date.now()) return { outcome: 'hit', value: entry.value };
    if (!flights.underWay(flight)) {
      joinFlight().catch((error) => log.warn({ err: error, kind: read.kind }, 'a stale entry could not be built anew'));
    }
    return { outcome: 'stale', value: entry.value };
  };

  return {
    async read(read) {
      const digest = createHash('sha256').update(read.key).digest('base64url').slice(0, 22);
      const { outcome, value } = await answer(link, { ...read, key: `e:${read.kind}:${digest}` });
      outcomes.inc({ kind: read.kind, outcome });
      return value;
    },
  };
}

function generationKeysOf(scope: Scope): string[] {
  return [everythingScope, scope].map(generationKey);
}

function stampOf(generations: readonly Generation[]): string {
  return generations.join('.');
}

function jittered(ms: number): number {
  return Math.round(ms * (0.9 + 0.2 * Math.random()));
}

type Budget = { spend(): boolean; spent(): boolean };

/** So many in each span of time; `spend` is false when there is nothing left. */
function createBudget(most: number, windowMs: number): Budget {
  let used = 0;
  let windowEnd = 0;
  const spent = (): boolean => {
    const now = performance.now();
    if (now >= windowEnd) {
      windowEnd = now + windowMs;
      used = 0;
    }
    return used >= most;
  };
  return {
    spent,
    spend: () => {
      if (spent()) return false;
      used += 1;
      return true;
    },
  };
}
