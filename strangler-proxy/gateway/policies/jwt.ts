import { z } from 'zod';
import { policyKind } from '../kind.ts';
import { span } from '../settings.ts';

/** Signatures with a public key only: a secret that the issuer shares would let every proxy make tokens. */
const algorithms = [
  'EdDSA',
  'Ed25519',
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
] as const;

const schema = z
  .strictObject({
    jwksUrl: z.url({ protocol: /^https?$/ }).describe("Where the issuer's public keys are (RFC 7517)."),
    issuer: z.string().min(1).describe('`iss` that a token must have.'),
    audience: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1).max(16)], {
        error: 'must be a text, or a list of 1 to 16 of them',
      })
      .describe('`aud` that a token must have, or one of these.'),
    algorithms: z
      .array(z.enum(algorithms))
      .min(1)
      .max(algorithms.length)
      .describe('Signatures that are accepted; no other is, whatever a token says.'),
    mode: z
      .enum(['required', 'optional'])
      .default('required')
      .describe('`optional`: a request without token passes; one with a bad token never does. Default: required.'),
    clockSkew: span({ max: 300_000 }).default(5_000).describe('By how much clocks may differ. Default: 5s.'),
    keysMaxAge: span({ min: 1_000 })
      .default(600_000)
      .describe(
        'After this the keys are asked for anew; while the issuer is away the last ones are used. Default: 10m.',
      ),
    keysCooldown: span({ min: 100 })
      .default(5_000)
      .describe('The least time between two questions to the issuer, whatever key ids come. Default: 5s.'),
    realm: z
      .string()
      .regex(/^[A-Za-z0-9 ._-]{1,64}$/, 'must be 1 to 64 letters, digits, spaces, dots, hyphens and underscores')
      .default('api')
      .describe('Named in WWW-Authenticate. Default: api.'),
  })
  .describe(
    'Verifies bearer tokens, 401; `sub` is the user for what follows, and the claims are verified for `stickyBy`.',
  );

export type JwtSettings = z.infer<typeof schema>;

/** JWTs (RFC 7519) as access tokens, by the issuer's JWKS. */
export const jwt = policyKind({
  schema,
  async create(name, config, deps) {
    // A gateway file without this kind needs nothing of cryptography.
    const { createJwtPolicy } = await import('../jwt/jwt-policy.ts');
    return createJwtPolicy(name, config, deps);
  },
});
