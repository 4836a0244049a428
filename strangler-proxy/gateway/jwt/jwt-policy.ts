import { decodeProtectedHeader, errors, type JSONWebKeySet, type JWTHeaderParameters, jwtVerify } from 'jose';
import type { VerifiedClaims } from '../../decide/decision.ts';
import type { PolicyDeps } from '../kind.ts';
import type { JwtSettings } from '../policies/jwt.ts';
import { type Pass, type Policy, pass, type Verdict } from '../policy.ts';
import { bearerRefusals, readBearer } from './bearer.ts';
import { createKeySet } from './key-set.ts';
import { createSeenTokens } from './seen-tokens.ts';

const keysTimeoutMs = 2_000;
/** More than any issuer publishes. */
const mostKeysBytes = 256 * 1024;
const mostSeenTokens = 4_096;

export const createJwtPolicy = (name: string, config: JwtSettings, { metrics, log, nowMs }: PolicyDeps): Policy => {
  const refusals = bearerRefusals(config.realm);
  const keys = createKeySet({
    fetchKeys: () => fetchKeys(config.jwksUrl),
    maxAgeMs: config.keysMaxAge,
    cooldownMs: config.keysCooldown,
    nowMs,
    onFailure(error) {
      metrics.degraded(name, 'jwks-away');
      log.warn({ policy: name, reason: error.message }, "the issuer's keys cannot be had; going on with the last ones");
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
};

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
