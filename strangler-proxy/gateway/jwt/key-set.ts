import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';

/** The key for a token: found, not among the issuer's, or nobody can say, because the issuer does not answer. */
export type FoundKey =
  | { kind: 'key'; key: Awaited<ReturnType<JWTVerifyGetKey>> }
  | { kind: 'unknown' }
  | { kind: 'issuer-away' };

export type KeySet = {
  find: (header: Parameters<JWTVerifyGetKey>[0]) => Promise<FoundKey>;
  /** Asks for the set anew, beside the requests, where it is old. */
  freshen(): void;
  /** Grows with each set that differs from the one before it. */
  generation(): number;
};

export type KeySetOptions = {
  fetchKeys(): Promise<JSONWebKeySet>;
  /** After this the set is asked for anew, beside the requests, which go on with the one that there is. */
  maxAgeMs: number;
  /** The least time between two questions, whatever comes: forged key ids must not become load on the issuer. */
  cooldownMs: number;
  nowMs(): number;
  onFailure(error: Error): void;
};

/**
 * An issuer's public keys (RFC 7517). Nobody waits for the issuer while there is a key: an old set is replaced in the background, and
 * goes on being used for as long as the issuer does not answer. Only a key id that is not in the set is waited for.
 */
export const createKeySet = ({ fetchKeys, maxAgeMs, cooldownMs, nowMs, onFailure }: KeySetOptions): KeySet => {
  let keys: JWTVerifyGetKey | null = null;
  let text = '';
  let generation = 0;
  let fetchedAtMs = Number.NEGATIVE_INFINITY;
  let askedAtMs = Number.NEGATIVE_INFINITY;
  let lastFailed = false;
  let asking: Promise<void> | null = null;

  const ask = async (): Promise<void> => {
    askedAtMs = nowMs();
    try {
      const fetched = await fetchKeys();
      const next = createLocalJWKSet(fetched) as JWTVerifyGetKey;
      const nextText = JSON.stringify(fetched);
      if (nextText !== text) generation += 1;
      text = nextText;
      keys = next;
      fetchedAtMs = nowMs();
      lastFailed = false;
    } catch (error) {
      lastFailed = true;
      onFailure(error as Error);
    } finally {
      asking = null;
    }
  };
  /** Undefined where the issuer was asked a moment ago. */
  const refresh = (): Promise<void> | undefined => {
    if (asking === null && nowMs() - askedAtMs >= cooldownMs) asking = ask();
    return asking ?? undefined;
  };
  const lookUp = async (header: Parameters<JWTVerifyGetKey>[0]): Promise<FoundKey | null> => {
    if (keys === null) return null;
    try {
      return { kind: 'key', key: await keys(header, { payload: '', signature: '' }) };
    } catch (error) {
      if (error instanceof errors.JOSEError) return null;
      throw error;
    }
  };

  const freshen = (): void => {
    if (nowMs() - fetchedAtMs >= maxAgeMs) void refresh();
  };

  return {
    freshen,
    generation: () => generation,
    async find(header) {
      const known = await lookUp(header);
      if (known !== null) {
        freshen();
        return known;
      }
      await refresh();
      return (await lookUp(header)) ?? { kind: lastFailed ? 'issuer-away' : 'unknown' };
    },
  };
};
