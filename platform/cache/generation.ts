import { randomBytes } from 'node:crypto';
import type { Scope } from './scope.ts';

/** The generation of a scope: a random text, so that one that was lost and made again never equals an old one. */
export type Generation = string;

/** Longer than any entry is kept: an entry never outlives the generation that it was made under. */
export const GENERATION_TTL_MS = 24 * 3_600_000;

/**
 * How long a write is announced for at most. When its process dies before it can say that the write is done, the
 * announcement runs out, the scope gets a new generation, and nothing read meanwhile was kept.
 */
export const ANNOUNCEMENT_TTL_MS = 10_000;

export function generationKey(scope: Scope): string {
  return `g:${scope}`;
}

export function newGeneration(): Generation {
  return randomBytes(9).toString('base64url');
}

/** The generation of a scope in which somebody is writing: what is read now is not kept. */
export function announcement(): Generation {
  return `~${newGeneration()}`;
}

export function isAnnouncement(generation: Generation): boolean {
  return generation.startsWith('~');
}

/**
 * Lua: stores an entry unless a generation that it was made under has changed meanwhile. KEYS: the entry, then its
 * generations. ARGV: the entry's text, its life in ms, the life of its generations in ms, then what the generations were.
 * A generation may have been made for a moment only; those of an entry are given the time to outlive it.
 */
export const STORE_UNDER_GENERATIONS = `
  for i = 2, #KEYS do
    if redis.call('GET', KEYS[i]) ~= ARGV[i + 2] then return 0 end
  end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  for i = 2, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
  return 1`;
