import { type CryptoKey, decodeProtectedHeader, errors, jwtVerify, SignJWT } from 'jose';
import type { Clock } from '../clock.ts';
import type { Identity } from './auth.ts';

export const TOKEN_ISSUER = 'shop';
export const TOKEN_AUDIENCE = 'shop';

/** Where access tokens get their keys from: the one that signs now, and any that signed tokens still in use. */
export type TokenKeys = {
  signingKey(): Promise<{ kid: string; privateKey: CryptoKey }>;
  verificationKey(kid: string): Promise<CryptoKey | undefined>;
};

export type AccessTokens = {
  issue(identity: Identity): Promise<{ token: string; expiresInSeconds: number }>;
  /** The identity in a token, or undefined when it is forged, expired or not for this shop. */
  verify(token: string): Promise<Identity | undefined>;
};

/** Access tokens: JWTs signed with EdDSA (RFC 8037), the only algorithm accepted. */
export function createAccessTokens({
  keys,
  clock,
  ttlMs,
}: {
  keys: TokenKeys;
  clock: Clock;
  ttlMs: number;
}): AccessTokens {
  const ttlSeconds = Math.floor(ttlMs / 1000);
  return {
    async issue(identity) {
      const { kid, privateKey } = await keys.signingKey();
      const issuedAt = Math.floor(clock.now().getTime() / 1000);
      const token = await new SignJWT({
        role: identity.role,
        ...(identity.sessionId === undefined ? {} : { sid: identity.sessionId }),
      })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid })
        .setSubject(String(identity.accountId))
        .setIssuer(TOKEN_ISSUER)
        .setAudience(TOKEN_AUDIENCE)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + ttlSeconds)
        .sign(privateKey);
      return { token, expiresInSeconds: ttlSeconds };
    },

    async verify(token) {
      try {
        const { kid } = decodeProtectedHeader(token);
        const key = kid === undefined ? undefined : await keys.verificationKey(kid);
        if (!key) return undefined;
        const { payload } = await jwtVerify(token, key, {
          algorithms: ['EdDSA'],
          issuer: TOKEN_ISSUER,
          audience: TOKEN_AUDIENCE,
          currentDate: clock.now(),
          requiredClaims: ['sub', 'exp', 'role'],
        });
        const accountId = Number(payload.sub);
        const { role, sid } = payload;
        if (!Number.isSafeInteger(accountId) || (role !== 'customer' && role !== 'admin')) return undefined;
        return { accountId, role, sessionId: typeof sid === 'string' ? sid : undefined };
      } catch (error) {
        // decodeProtectedHeader reports a malformed token as a TypeError; anything else is a fault of ours.
        if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
        throw error;
      }
    },
  };
}
