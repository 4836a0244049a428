import { type AccessTokens, createAccessTokens, createPublicKeys } from '@strangler/platform/auth/access-token.ts';
import type { Clock } from './clock.ts';

/** The shop's access tokens. */
export const shopTokens = ({ jwksUrl, clock }: { jwksUrl: string; clock: Clock }): AccessTokens =>
  createAccessTokens({
    keys: createPublicKeys({ jwksUrl }),
    issuer: 'shop',
    audience: 'shop',
    roles: ['customer', 'admin'],
    clock,
  });
