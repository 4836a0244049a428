import type { CacheLink } from '@strangler/platform/cache/cache-link.ts';
import {
  type Generation,
  generationKey,
  isAnnouncement,
  newGeneration,
  STORE_UNDER_GENERATIONS,
} from '@strangler/platform/cache/generation.ts';
import type { Scope } from '@strangler/platform/cache/scope.ts';
import type { CacheRequest, StoredAnswer } from './answer.ts';
import { selectedBy, selects, variantKey } from './cache-key.ts';
import { decodeEntry, encodeEntry } from './entry.ts';

/** What Redis holds for a request. */
export type Present = {
  kind: 'present';
  /** What the answer that is asked for now will stand on. */
  generations: readonly Generation[];
  /** Somebody is writing what it stands on: nothing that is read now is kept. */
  writing: boolean;
  /** Null where nothing is kept, or only what is no longer believed. */
  answer: StoredAnswer | null;
  /** Other variants of it are kept. */
  otherVariants: boolean;
  /** When this user wrote last, as Redis knows it: milliseconds since 1970; null where it knows of none. */
  wroteAtMs: number | null;
};

export type CacheStore = {
  /** What is kept for a request; `away` where Redis gave no answer in time. */
  look(subject: Looked): Promise<Present | { kind: 'away' }>;
  /** Keeps an answer, unless what it stands on has changed since `generations` were read. */
  put(subject: Looked, generations: readonly Generation[], answer: StoredAnswer, keepMs: number): Promise<PutOutcome>;
  /** Remembers that a user has written; resolves to whether Redis knows. */
  wrote(writer: string, atMs: number): Promise<boolean>;
};

export type Looked = {
  primary: string;
  request: CacheRequest;
  scopes: readonly Scope[];
  /** Who asks, where that can be told; else null. */
  writer: string | null;
};

export type PutOutcome = 'stored' | 'outdated' | 'away';

export type CacheStoreOptions = {
  link: CacheLink;
  /** No answer is kept longer than this, in ms: generations and writers are known at least as long. */
  longestMs: number;
};

/** Subjects of which it is remembered what their `Vary` names, so that a hit is one round trip. */
const mostRemembered = 10_000;
/** For how long a generation is kept that nothing stands on yet. */
const unusedGenerationMs = 120_000;

const varyKeyOf = (primary: string): string => `v:${primary}`;
const entryKeyOf = (variant: string): string => `e:${variant}`;
const writerKeyOf = (writer: string): string => `w:${writer}`;

/** Answers in Redis. Every command is bounded by the link, which answers undefined at once where Redis is known to be away. */
export function createCacheStore({ link, longestMs }: CacheStoreOptions): CacheStore {
  const remembered = new Map<string, string>();

  const remember = (primary: string, vary: string | null): void => {
    remembered.delete(primary);
    if (vary === null) return;
    if (remembered.size >= mostRemembered) remembered.delete(remembered.keys().next().value!);
    remembered.set(primary, vary);
  };

  const keysOf = ({ primary, writer, scopes }: Looked): string[] => [
    varyKeyOf(primary),
    writerKeyOf(writer ?? ''),
    ...scopes.map(generationKey),
  ];

  const makeGenerations = (keys: string[]): Promise<(Generation | null)[] | undefined> =>
    link.run(async (client) => {
      const made = keys.map((key) => client.set(key, newGeneration(), { PX: unusedGenerationMs, NX: true }));
      const [generations] = await Promise.all([client.mGet(keys), ...made]);
      return generations;
    });

  return {
    async look(looked) {
      const { primary, request, scopes, writer } = looked;
      const guessed = remembered.get(primary) ?? '';
      const guessedKey = entryKeyOf(variantKey(primary, namesIn(guessed), request));
      const found = await link.run((client) => client.mGet([guessedKey, ...keysOf(looked)]));
      if (found === undefined) return { kind: 'away' };
      let text = found[0] ?? null;
      const [vary = null, wrote = null] = found.slice(1, 3);
      remember(primary, vary);
      if (vary !== null && vary !== guessed) {
        const key = entryKeyOf(variantKey(primary, namesIn(vary), request));
        const second = await link.run(async (client) => ({ text: await client.get(key) }));
        if (second === undefined) return { kind: 'away' };
        text = second.text;
      }
      let generations: readonly (Generation | null)[] = found.slice(3);
      if (generations.includes(null)) generations = (await makeGenerations(scopes.map(generationKey))) ?? [null];
      if (!generations.every((generation) => generation !== null)) return { kind: 'away' };
      const entry = decodeEntry(text);
      const believed =
        entry !== undefined && entry.stamp === stampOf(generations) && selects(entry.answer, request)
          ? entry.answer
          : null;
      return {
        kind: 'present',
        generations,
        writing: generations.some(isAnnouncement),
        answer: believed,
        otherVariants: vary !== null && vary !== '' && entry === undefined,
        wroteAtMs: writer === null || wrote === null ? null : Number(wrote),
      };
    },

    async put({ primary, request, scopes }, generations, answer, keepMs) {
      if (generations.some(isAnnouncement)) return 'outdated';
      const selected = selectedBy(answer, request);
      const vary = selected.map(([name]) => name);
      const text = encodeEntry({ stamp: stampOf(generations), answer: { ...answer, selectedBy: selected } });
      const lifeMs = `${Math.ceil(keepMs)}`;
      const stored = await link.run(async (client) => {
        const [kept] = await Promise.all([
          client.eval(STORE_UNDER_GENERATIONS, {
            keys: [entryKeyOf(variantKey(primary, vary, request)), ...scopes.map(generationKey)],
            arguments: [text, lifeMs, `${longestMs + unusedGenerationMs}`, ...generations],
          }),
          client.set(varyKeyOf(primary), vary.join(','), { PX: longestMs }),
        ]);
        return { kept: kept === 1 };
      });
      if (stored === undefined) return 'away';
      remember(primary, vary.join(','));
      return stored.kept ? 'stored' : 'outdated';
    },

    async wrote(writer, atMs) {
      const done = await link.run((client) => client.set(writerKeyOf(writer), `${atMs}`, { PX: longestMs }));
      return done !== undefined;
    },
  };
}

const namesIn = (vary: string): string[] => (vary === '' ? [] : vary.split(','));

export const stampOf = (generations: readonly Generation[]): string => generations.join('.');
