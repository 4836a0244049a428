import { decodeProtectedHeader, errors, type JSONWebKeySet, type JWTHeaderParameters, jwtVerify } from 'jose';
import { z } from 'zod';
import type { VerifiedClaims } from '../../decide/decision.ts';
import { bearerRefusals, readBearer } from '../jwt/bearer.ts';
import { createKeySet } from '../jwt/key-set.ts';
import { createSeenTokens } from '../jwt/seen-tokens.ts';
import { policyKind } from '../kind.ts';
import { type Pass, type Policy, pass, type Verdict } from '../policy.ts';
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

const keysTimeoutMs = 2_000;
/** More than any issuer publishes. */
const mostKeysBytes = 256 * 1024;
const mostSeenTokens = 4_096;

/** JWTs (RFC 7519) as access tokens, by the issuer's JWKS. */
export const jwt = policyKind({
  schema,
  create(name, config, { metrics, log, nowMs }): Policy {
    const refusals = bearerRefusals(config.realm);
    const keys = createKeySet({
      fetchKeys: () => fetchKeys(config.jwksUrl),
      maxAgeMs: config.keysMaxAge,
      cooldownMs: config.keysCooldown,
      nowMs,
      onFailure(error) {
        metrics.degraded(name, 'jwks-away');
        log.warn(
          { policy: name, reason: error.message },
          "the issuer's keys cannot be had; going on with the last ones",
        );
      },
    });
    const seen = createSeenTokens(mostSeenTokens);
    let seenGeneration = 0;

    const verify = async (token: string): Promise<Verdict> => {
      const header = headerOf(token);
      if (header === null || !(config.algorithms as string[]).includes(header.alg)) return refusals.invalid;
      const found = await keys.find(header);
      if (found.kind === 'issuer-away') {
        metrics.degraded(name, 'key-unknown');
        return refusals.issuerAway;
      }
      if (found.kind === 'unknown') return refusals.invalid;
      const generation = keys.generation();
      try {
        const { payload } = await jwtVerify(token, found.key, {
          algorithms: config.algorithms,
          issuer: config.issuer,
          audience: config.audience,
          clockTolerance: config.clockSkew / 1000,
          requiredClaims: ['sub', 'exp'],
        });
        // A key that the issuer has taken back makes nothing good any more.
        if (generation !== seenGeneration) seen.clear();
        seenGeneration = generation;
        seen.add(token, payload, payload.exp! * 1000 + config.clockSkew);
        return identified(payload);
      } catch (error) {
        if (error instanceof errors.JOSEError || error instanceof TypeError) return refusals.invalid;
        throw error;
      }
    };

    return {
      name,
      check({ facts }) {
        const bearer = readBearer(facts.headers.authorization);
        if (bearer.kind === 'malformed') return refusals.invalid;
        if (bearer.kind === 'none') return config.mode === 'optional' ? pass : refusals.missing;
        const known = keys.generation() === seenGeneration ? seen.get(bearer.token, Date.now()) : undefined;
        if (known === undefined) return verify(bearer.token);
        keys.freshen();
        return identified(known);
      },
    };
  },
});

const identified = (claims: VerifiedClaims): Pass => ({
  kind: 'pass',
  identity: { user: String(claims.sub), claims },
});

const headerOf = (token: string): JWTHeaderParameters | null => {
  try {
    const header = decodeProtectedHeader(token);
    return typeof header.alg === 'string' ? (header as JWTHeaderParameters) : null;
  } catch {
    return null;
  }
};

const fetchKeys = async (url: string): Promise<JSONWebKeySet> => {
  const answer = await fetch(url, { signal: AbortSignal.timeout(keysTimeoutMs), redirect: 'error' });
  if (!answer.ok) {
    await answer.body?.cancel();
    throw new Error(`${url}: expected keys, found status ${answer.status}`);
  }
  let bytes = 0;
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length;
    if (bytes > mostKeysBytes) throw new Error(`${url}: expected at most ${mostKeysBytes} bytes of keys, found more`);
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as JSONWebKeySet;
};
