import { problems } from '@strangler/platform/http/problem.ts';
import {
  type CryptoKey,
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeProtectedHeader,
  errors,
  type JWTHeaderParameters,
  jwtVerify,
} from 'jose';
import type { Clock } from '../clock.ts';
import type { Identity } from './auth.ts';

const TOKEN_ISSUER = 'shop';
const TOKEN_AUDIENCE = 'shop';

/** Where public keys come from. Gives undefined for a key id that the issuer does not know. */
export type PublicKeys = {
  verificationKey(header: JWTHeaderParameters): Promise<CryptoKey | undefined>;
};

export type AccessTokens = {
  /** The identity in a token, or undefined when it is forged, expired or not for this shop. */
  verify(token: string): Promise<Identity | undefined>;
};

/** How long the issuer's keys are taken for current without asking. */
const KEYS_MAX_AGE_MS = 10 * 60_000;

/** The least time between two questions that unknown key ids cause: forged tokens must not become load on the issuer. */
const UNKNOWN_KEY_COOLDOWN_MS = 1_000;

const FETCH_TIMEOUT_MS = 2_000;

/**
 * The issuer's public keys, by its JWKS (RFC 7517). A key id that is not known is asked for, so that a rotation needs no
 * restart. While the issuer is away the keys that it gave last go on being used; a token with another key is then
 * answered 503, because nobody can say whether it is good.
 */
export function createPublicKeys({ jwksUrl }: { jwksUrl: string }): PublicKeys {
  const remote = createRemoteJWKSet(new URL(jwksUrl), {
    cacheMaxAge: KEYS_MAX_AGE_MS,
    cooldownDuration: UNKNOWN_KEY_COOLDOWN_MS,
    timeoutDuration: FETCH_TIMEOUT_MS,
  });
  return {
    async verificationKey(header) {
      try {
        return (await remote(header)) as CryptoKey;
      } catch (error) {
        if (error instanceof errors.JWKSNoMatchingKey) return undefined;
        const last = remote.jwks();
        const known = last && (await createLocalJWKSet(last)(header).catch(() => undefined));
        if (known) return known as CryptoKey;
        throw problems.unavailable(1, 'Access tokens cannot be checked at the moment');
      }
    },
  };
}

/** Access tokens as the shop issues them: JWTs signed with EdDSA (RFC 8037), the only algorithm accepted. */
export function createAccessTokens({ keys, clock }: { keys: PublicKeys; clock: Clock }): AccessTokens {
  return {
    async verify(token) {
      const header = headerOf(token);
      if (header?.kid === undefined || header.alg !== 'EdDSA') return undefined;
      const key = await keys.verificationKey(header);
      if (!key) return undefined;
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: ['EdDSA'],
          issuer: TOKEN_ISSUER,
          audience: TOKEN_AUDIENCE,
          currentDate: clock.now(),
          requiredClaims: ['sub', 'exp', 'role'],
        });
        const accountId = Number(payload.sub);
        const { role } = payload;
        if (!Number.isSafeInteger(accountId) || (role !== 'customer' && role !== 'admin')) return undefined;
        return { accountId, role };
      } catch (error) {
        if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
        throw error;
      }
    },
  };
}

function headerOf(token: string): JWTHeaderParameters | undefined {
  try {
    return decodeProtectedHeader(token) as JWTHeaderParameters;
  } catch {
    return undefined;
  }
}
