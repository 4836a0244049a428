import { createAccessTokens, createPublicKeys } from '@strangler/platform/auth/access-token.ts';
import { type Auth, createAuth } from '@strangler/platform/auth/auth.ts';
import type { Clock } from './clock.ts';

/** Lets in whom the shop's access tokens name. */
export const shopAuth = ({ jwksUrl, clock }: { jwksUrl: string; clock: Clock }): Auth =>
  createAuth({
    realm: 'shop',
    accessTokens: createAccessTokens({
      keys: createPublicKeys({ jwksUrl }),
      issuer: 'shop',
      audience: 'shop',
      roles: ['customer', 'admin'],
      clock,
    }),
  });
