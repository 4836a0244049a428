import { type KeyRing, type PrivateKey, publishedKeyOf } from './key-ring.ts';
import type { TrustedCaller } from './trust-bundle.ts';

/** What is known of one service's keys: its own file, and its part of the trust file. */
export type KeyState = { ring: KeyRing; trusted: TrustedCaller };

export type RotationStep = 'published' | 'signing' | 'retired';

/** `ring` and `trusted` are written in the order of `write`; to do the step again after half of it was written is safe. */
export type RotationOutcome =
  | { kind: 'done'; step: RotationStep; kid: string; state: KeyState; write: readonly ('ring' | 'trusted')[] }
  | { kind: 'refused'; reason: string; waitMs: number };

export type RotationTimes = {
  now: Date;
  /** How long the files may take to reach every process. */
  settleMs: number;
  /** The longest life of a token, and the difference of clocks. */
  tokenLifeMs: number;
};

/**
 * The next step of a rotation. First the new public key is published, while the old one goes on signing; once every process
 * has had the time to read it, the new one signs. Both are accepted until `retire`.
 */
export function rotate({ ring, trusted }: KeyState, fresh: PrivateKey, times: RotationTimes): RotationOutcome {
  const { now, settleMs } = times;
  if (ring.previous !== undefined) {
    return refused(`key ${ring.previous.kid} of the rotation before is not retired yet`, 0);
  }
  const next = ring.next ?? fresh;
  const published = trusted.keys.find(({ kid }) => kid === next.kid);
  if (published === undefined) {
    const state = {
      ring: { ...ring, next },
      trusted: { ...trusted, keys: [...trusted.keys, publishedKeyOf(next, now)] },
    };
    return { kind: 'done', step: 'published', kid: next.kid, state, write: ['ring', 'trusted'] };
  }
  const waitMs = Date.parse(published.published_at) + settleMs - now.getTime();
  if (waitMs > 0) return refused(`key ${next.kid} may not have reached every process yet`, waitMs);
  const { next: _, ...rest } = ring;
  const previous = { kid: ring.signing.kid, signed_until: now.toISOString() };
  const state = { ring: { ...rest, signing: next, previous }, trusted };
  return { kind: 'done', step: 'signing', kid: next.kid, state, write: ['ring'] };
}

/** The end of a rotation: the old public key is taken out of the trust file, once no token of it can be alive. */
export function retire({ ring, trusted }: KeyState, { now, settleMs, tokenLifeMs }: RotationTimes): RotationOutcome {
  const { previous, ...rest } = ring;
  if (previous === undefined) return refused('there is no key that signs no more', 0);
  // A process that has not read the change of keys yet goes on signing with the old one.
  const waitMs = Date.parse(previous.signed_until) + settleMs + tokenLifeMs - now.getTime();
  if (waitMs > 0) return refused(`tokens of key ${previous.kid} may still be under way`, waitMs);
  const keys = trusted.keys.filter(({ kid }) => kid !== previous.kid);
  const state = { ring: rest, trusted: { ...trusted, keys } };
  return { kind: 'done', step: 'retired', kid: previous.kid, state, write: ['trusted', 'ring'] };
}

function refused(reason: string, waitMs: number): RotationOutcome {
  return { kind: 'refused', reason, waitMs };
}
