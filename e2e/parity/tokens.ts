import { createPrivateKey } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, SignJWT } from 'jose';
import type { Tokens } from './scenario.ts';
import { newSigningKey } from './start-processes.ts';

/** Accounts of the seed: 1 is the admin, the others are customers. */
export const accounts = { admin: 1, customer: 2, otherCustomer: 3, third: 4 } as const;

/** Tokens signed with the monolith's key, good at `now` or wrong in one way each. */
export async function makeTokens(signingKey: string, now: Date): Promise<Tokens> {
  const issue = tokenMaker(signingKey, now);
  const foreign = tokenMaker(newSigningKey(), now);
  const kid = await keyIdOf(signingKey);
  return {
    admin: await issue({ sub: accounts.admin, role: 'admin' }),
    customer: await issue({ sub: accounts.customer, role: 'customer' }),
    otherCustomer: await issue({ sub: accounts.otherCustomer, role: 'customer' }),
    third: await issue({ sub: accounts.third, role: 'customer' }),
    nobody: await issue({ sub: 999_999, role: 'customer' }),
    expired: await issue({ sub: accounts.admin, role: 'admin', exp: -60 }),
    otherIssuer: await issue({ sub: accounts.admin, role: 'admin', iss: 'other' }),
    otherAudience: await issue({ sub: accounts.admin, role: 'admin', aud: 'other' }),
    unknownKey: await foreign({ sub: accounts.admin, role: 'admin' }),
    forged: await foreign({ sub: accounts.admin, role: 'admin', kid }),
    noRole: await issue({ sub: accounts.admin }),
    oddRole: await issue({ sub: accounts.admin, role: 'root' }),
    noExpiry: await issue({ sub: accounts.admin, role: 'admin', exp: null }),
  };
}

export type TokenClaims = {
  sub: number;
  role?: string;
  iss?: string;
  aud?: string;
  kid?: string;
  /** Seconds from now; null: none. 900 unless told. */
  exp?: number | null;
};

/** Makes tokens with one private key; `kid` is the key's own thumbprint unless told. */
export function tokenMaker(signingKey: string, now: Date): (claims: TokenClaims) => Promise<string> {
  const key = createPrivateKey(signingKey);
  const nowSeconds = Math.floor(now.getTime() / 1000);
  return async ({ sub, role, iss = 'shop', aud = 'shop', kid, exp = 900 }) => {
    const token = new SignJWT(role === undefined ? {} : { role })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: kid ?? (await keyIdOf(signingKey)) })
      .setSubject(String(sub))
      .setIssuer(iss)
      .setAudience(aud)
      .setIssuedAt(nowSeconds);
    return (exp === null ? token : token.setExpirationTime(nowSeconds + exp)).sign(key);
  };
}

async function keyIdOf(signingKey: string): Promise<string> {
  const { kty, crv, x } = await exportJWK(createPrivateKey(signingKey));
  return calculateJwkThumbprint({ kty, crv, x } as { kty: string; crv: string; x: string });
}
