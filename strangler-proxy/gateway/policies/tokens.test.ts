import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { hashApiKey, newApiKey } from '@strangler/platform/api-keys.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { makePolicy, policyDeps, policyRequest, verdictOf } from '../../testing/policy-request.ts';
import type { Policy } from '../policy.ts';
import { apiKeys } from './api-keys.ts';
import { jwt } from './jwt.ts';

type Signer = { key: CryptoKey; jwk: JWK };
const newSigner = async (kid: string, alg = 'EdDSA'): Promise<Signer> => {
  const { publicKey, privateKey } = await generateKeyPair(alg);
  return { key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg } };
};

describe('jwt', () => {
  let issuer: Server;
  let published: JWK[];
  let asked = 0;
  let away = false;
  let one: Signer;
  let two: Signer;
  beforeAll(async () => {
    [one, two] = [await newSigner('one'), await newSigner('two')];
    issuer = createServer((_req, res) => {
      asked += 1;
      if (away) res.writeHead(500).end();
      else res.end(JSON.stringify({ keys: published }));
    }).listen(0, '127.0.0.1');
    await new Promise((listening) => issuer.once('listening', listening));
  });
  afterAll(() => {
    issuer.closeAllConnections();
    issuer.close();
  });
  beforeEach(() => {
    published = [one.jwk];
    asked = 0;
    away = false;
  });

  const config = (more: object = {}) => ({
    jwksUrl: `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/jwks`,
    issuer: 'shop',
    audience: 'api',
    algorithms: ['EdDSA'],
    ...more,
  });
  type Claims = { iss?: string; aud?: string; exp?: number | null; nbf?: number; sub?: string | null };
  const nowS = () => Math.floor(Date.now() / 1000);
  const tokenOf = (signer: Signer, claims: Claims = {}, alg = 'EdDSA'): Promise<string> => {
    const { iss = 'shop', aud = 'api', exp = nowS() + 60, nbf, sub = '7' } = claims;
    return new SignJWT({
      iss,
      aud,
      ...(exp === null ? {} : { exp }),
      ...(nbf === undefined ? {} : { nbf }),
      ...(sub === null ? {} : { sub }),
    })
      .setProtectedHeader({ alg, kid: signer.jwk.kid! })
      .sign(signer.key);
  };
  const by = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

  test('takes a good token, tells who it is, and takes it again without waiting', async () => {
    const policy = await makePolicy(jwt, config());
    const request = policyRequest(by(await tokenOf(one)));
    const first = policy.check!(request);
    expect(first).toBeInstanceOf(Promise);
    expect(await first).toMatchObject({ kind: 'pass', identity: { user: '7', claims: { sub: '7', iss: 'shop' } } });
    expect(policy.check!(request)).toMatchObject({ kind: 'pass', identity: { user: '7' } });
    expect(asked).toBe(1);
  });

  test('refuses what is missing, malformed, forged, expired, early, for others, or signed in a way that is not named', async () => {
    const policy = await makePolicy(jwt, config());
    const forger = { ...(await newSigner('one')), jwk: one.jwk };
    const rsa = await newSigner('one', 'RS256');
    const [head, , tail] = (await tokenOf(one)).split('.');
    const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"7"}').toString('base64url')}.x`;
    for (const [what, token] of Object.entries({
      forged: await tokenOf(forger),
      tampered: `${head}.${Buffer.from(`{"sub":"1","iss":"shop","aud":"api","exp":${nowS() + 60}}`).toString('base64url')}.${tail}`,
      expired: await tokenOf(one, { exp: nowS() - 6 }),
      early: await tokenOf(one, { nbf: nowS() + 60 }),
      'of another issuer': await tokenOf(one, { iss: 'other' }),
      'for another audience': await tokenOf(one, { aud: 'other' }),
      'for ever': await tokenOf(one, { exp: null }),
      'of nobody': await tokenOf(one, { sub: null }),
      'by RSA': await tokenOf(rsa, {}, 'RS256'),
      unsigned,
      'no token': 'abc',
      empty: '',
    })) {
      const verdict = await policy.check!(policyRequest(by(token)));
      expect([what, verdict]).toEqual([what, expect.objectContaining({ kind: 'refuse', status: 401 })]);
      expect((verdict as { headers: Record<string, string> }).headers['WWW-Authenticate']).toMatch(
        /^Bearer realm="api", error="invalid_token"/,
      );
    }
    const missing = await policy.check!(policyRequest());
    expect(missing).toMatchObject({ status: 401, headers: { 'WWW-Authenticate': 'Bearer realm="api"' } });
    expect(await verdictOf(policy, { headers: { authorization: 'Basic abc' } })).toBe(401);
  });

  test('lets a clock be a little wrong, and a request without token pass where tokens are optional, but no bad one', async () => {
    const policy = await makePolicy(jwt, config({ mode: 'optional', clockSkew: '10s' }));
    expect(await verdictOf(policy, by(await tokenOf(one, { exp: nowS() - 5 })))).toBe('pass');
    expect(await verdictOf(policy)).toBe('pass');
    expect(await verdictOf(policy, by('a.b.c'))).toBe(401);
  });

  test('finds a new key when one is published, and does not ask for each forged key id', async () => {
    const { deps, clock } = policyDeps();
    const policy = await makePolicy(jwt, config({ keysCooldown: '5s' }), deps);
    expect(await verdictOf(policy, by(await tokenOf(two)))).toBe(401);
    expect(await verdictOf(policy, by(await tokenOf(two)))).toBe(401);
    expect(asked).toBe(1);
    published = [one.jwk, two.jwk];
    clock.nowMs += 5_000;
    expect(await verdictOf(policy, by(await tokenOf(two)))).toBe('pass');
    expect(asked).toBe(2);
  });

  test('goes on with the keys that it has while the issuer is away, and answers 503 where it has none', async () => {
    const { deps, clock, metrics } = policyDeps();
    const policy = await makePolicy(jwt, config({ keysMaxAge: '1m' }), deps);
    away = true;
    expect(await verdictOf(policy, by(await tokenOf(one)))).toBe(503);
    away = false;
    clock.nowMs += 5_000;
    expect(await verdictOf(policy, by(await tokenOf(one)))).toBe('pass');
    away = true;
    clock.nowMs += 3_600_000;
    expect(await verdictOf(policy, by(await tokenOf(one, { sub: '8' })))).toBe('pass');
    await eventually(() => metrics.events.filter((event) => event === 'degraded tested jwks-away').length === 2);
    expect(await verdictOf(policy, by(await tokenOf(two)))).toBe(503);
  });

  test('takes no token any more whose key the issuer has taken back, though it was good a moment ago', async () => {
    const { deps, clock } = policyDeps();
    const policy = await makePolicy(jwt, config({ keysMaxAge: '1m' }), deps);
    const token = await tokenOf(one);
    expect(await verdictOf(policy, by(token))).toBe('pass');
    published = [two.jwk];
    clock.nowMs += 60_000;
    expect(await verdictOf(policy, by(token))).toBe('pass');
    await eventually(async () => (await verdictOf(policy, by(token))) === 401);
  });
});

describe('api-keys', () => {
  let folder: string;
  let file: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'api-keys-'));
    file = join(folder, 'keys.yaml');
  });
  afterAll(() => rm(folder, { recursive: true }));
  const line = (name: string, key: string, more = '') =>
    `  - { name: ${name}, sha256: ${hashApiKey(key).toString('hex')}${more} }\n`;
  const by = (key: string, more: object = {}) => ({ headers: { 'x-api-key': key }, ...more });

  test('takes a known key on its routes while it is good, keeps it from the upstream, and stops when it is taken out', async () => {
    const [partner, old] = [newApiKey(), newApiKey()];
    await writeFile(
      file,
      `keys:\n${line('partner', partner, ', routes: [ GET /api/products/* ]')}${line('old', old, ', expires: "2020-01-01T00:00:00Z"')}`,
    );
    const { deps, metrics } = policyDeps({ folder });
    const policy: Policy = await makePolicy(apiKeys, { file: 'keys.yaml' }, deps);
    try {
      const good = { path: '/api/products/7' };
      expect(policy.check!(policyRequest(by(partner, good)))).toEqual({
        kind: 'pass',
        identity: { key: 'partner' },
        withhold: ['x-api-key'],
      });
      expect(await verdictOf(policy, by(partner, { ...good, method: 'POST' }))).toBe(403);
      expect(await verdictOf(policy, by(partner, { path: '/api/orders' }))).toBe(403);
      expect(await verdictOf(policy, by(old, good))).toBe(401);
      expect(await verdictOf(policy, by(newApiKey(), good))).toBe(401);
      expect(await verdictOf(policy, by('', good))).toBe(401);
      expect(await verdictOf(policy, good)).toBe(401);

      await writeFile(file, 'keys: [ { name: partner } ]');
      await eventually(() => metrics.events.includes('loaded keys refused'));
      expect(await verdictOf(policy, by(partner, good))).toBe('pass');
      await writeFile(file, 'keys: []');
      await eventually(async () => (await verdictOf(policy, by(partner, good))) === 401);
    } finally {
      policy.close!();
    }
  });

  test('optional keys may be left out, not made up', async () => {
    await writeFile(file, 'keys: []');
    const policy = await makePolicy(apiKeys, { file, mode: 'optional' }, policyDeps({ folder }).deps);
    expect([await verdictOf(policy), await verdictOf(policy, by(newApiKey()))]).toEqual(['pass', 401]);
    policy.close!();
  });
});
