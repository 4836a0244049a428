import { randomUUID } from 'node:crypto';
import { type CryptoKey, importJWK, SignJWT } from 'jose';
import type { KeyRing } from './key-ring.ts';

/** What a token says of itself in `typ`, so that none of another kind can stand for it (RFC 8725 section 3.11). */
export const serviceTokenType = 'service+jwt';
export const serviceTokenAlgorithm = 'EdDSA';

/** Signs tokens that say who calls, and whom. */
export type ServiceTokens = {
  /** One that is good for a while yet; the same as before where that one is. */
  tokenFor(audience: string): Promise<string>;
};

export type ServiceTokensOptions = {
  /** The keys as they are now. */
  ring: () => KeyRing;
  /** How long a token is good for. */
  lifeMs: number;
  nowMs?: () => number;
};

type Kept = { kid: string; token: Promise<string>; renewAtMs: number };

/** One that is asked for has at least this share of its life before it. */
const shareLeft = 1 / 3;

/** Tokens in the name of the ring's service. A new key signs from the moment on that it is in the ring. */
export function createServiceTokens({ ring, lifeMs, nowMs = Date.now }: ServiceTokensOptions): ServiceTokens {
  const kept = new Map<string, Kept>();
  let key: { kid: string; imported: Promise<CryptoKey> } | undefined;

  const sign = async ({ service, signing }: KeyRing, audience: string): Promise<string> => {
    if (key?.kid !== signing.kid) {
      const { kid, x, d } = signing;
      const jwk = { kty: 'OKP', crv: 'Ed25519', x, d };
      key = { kid, imported: importJWK(jwk, serviceTokenAlgorithm) as Promise<CryptoKey> };
    }
    const issuedAt = Math.floor(nowMs() / 1_000);
    return await new SignJWT({})
      .setProtectedHeader({ alg: serviceTokenAlgorithm, typ: serviceTokenType, kid: signing.kid })
      .setIssuer(service)
      .setAudience(audience)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + Math.floor(lifeMs / 1_000))
      .setJti(randomUUID())
      .sign(await key.imported);
  };

  return {
    tokenFor(audience) {
      const now = ring();
      const known = kept.get(audience);
      if (known !== undefined && known.kid === now.signing.kid && nowMs() < known.renewAtMs) return known.token;
      const token = sign(now, audience);
      const renewAtMs = nowMs() + lifeMs * (1 - shareLeft);
      kept.set(audience, { kid: now.signing.kid, token, renewAtMs });
      token.catch(() => kept.delete(audience));
      return token;
    },
  };
}
