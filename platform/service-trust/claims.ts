/** Why a token is good for nothing here; a bounded set, for metrics and logs. */
export const tokenFaults = [
  'malformed',
  'type',
  'algorithm',
  'issuer',
  'key',
  'signature',
  'claims',
  'audience',
  'lifetime',
  'not_yet',
  'expired',
] as const;
export type TokenFault = (typeof tokenFaults)[number];

export const defaultSkewMs = 5_000;
/** The longest life of a token that anybody accepts; what is signed for longer is refused, however good the key. */
export const mostTokenLifeMs = 300_000;

export type ClaimBounds = {
  /** Whom the token must be addressed to, and nobody beside. */
  self: string;
  nowMs: number;
  /** How far two clocks may be apart. */
  skewMs: number;
  /** The longest life that a token may have, whoever signed it. */
  mostLifeMs: number;
};

/** What is wrong with the claims of a token whose signature is good; undefined: nothing. Times in it are in seconds. */
export function claimsFault(payload: Record<string, unknown>, bounds: ClaimBounds): TokenFault | undefined {
  const { self, nowMs, skewMs, mostLifeMs } = bounds;
  const { aud, iat, exp } = payload;
  if (!isTime(iat) || !isTime(exp) || exp <= iat) return 'claims';
  // A list of audiences would make one token good at several services: each could then speak in the caller's name to the others.
  if (aud !== self) return 'audience';
  if ((exp - iat) * 1_000 > mostLifeMs) return 'lifetime';
  if (iat * 1_000 > nowMs + skewMs) return 'not_yet';
  if (exp * 1_000 <= nowMs - skewMs) return 'expired';
  return undefined;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value < 1e11;
}
