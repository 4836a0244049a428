import type { VerifiedClaims } from '../../decide/decision.ts';

/** Tokens that have been verified, so that the next request with the same one need not wait. */
export type SeenTokens = {
  /** The claims, while they are good; undefined: verify it. */
  get(token: string, nowMs: number): VerifiedClaims | undefined;
  add(token: string, claims: VerifiedClaims, untilMs: number): void;
  clear(): void;
};

/** Longer tokens are verified each time: what strangers send must not fill the memory. */
const longest = 2_048;

/** Keeps `most` tokens; the one that was added first goes first. Times are on the clock of the caller. */
export const createSeenTokens = (most: number): SeenTokens => {
  const seen = new Map<string, { claims: VerifiedClaims; untilMs: number }>();
  return {
    get(token, nowMs) {
      const found = seen.get(token);
      if (found === undefined) return undefined;
      if (nowMs < found.untilMs) return found.claims;
      seen.delete(token);
      return undefined;
    },
    add(token, claims, untilMs) {
      if (token.length > longest) return;
      if (seen.size >= most) seen.delete(seen.keys().next().value!);
      seen.set(token, { claims, untilMs });
    },
    clear: () => seen.clear(),
  };
};
