import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { makePolicy, policyDeps, policyRequest, type RequestWishes, verdictOf } from '../../testing/policy-request.ts';
import type { Policy, Refuse } from '../policy.ts';
import { concurrency, hasRoom } from './concurrency.ts';
import { cors } from './cors.ts';
import { ip } from './ip.ts';
import { maintenance } from './maintenance.ts';
import { rateLimit } from './rate-limit.ts';
import { securityHeaders } from './security-headers.ts';
import { size } from './size.ts';

/** Headers of an answer once a policy has seen it, as a list of `name: value`. */
const answered = (policy: Policy, wishes: RequestWishes, rawHeaders: string[] = [], status = 200): string[] => {
  const headers = policy.answering!(policyRequest(wishes), { status, rawHeaders });
  return headers.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${headers[at + 1]}`] : []));
};

describe('ip', () => {
  test('refuses who is not in `allow`, who is in `deny`, and what is no address', async () => {
    const office = await makePolicy(ip, { allow: ['10.0.0.0/8', 'fc00::/7'], deny: ['10.6.6.0/24'] });
    const of = (clientAddress: string) => verdictOf(office, { clientAddress });
    expect([await of('10.1.2.3'), await of('fd00::1')]).toEqual(['pass', 'pass']);
    expect([await of('10.6.6.6'), await of('11.0.0.1'), await of('::1'), await of('')]).toEqual([403, 403, 403, 403]);
    const denies = await makePolicy(ip, { deny: ['192.0.2.0/24'] });
    expect([await verdictOf(denies), await verdictOf(denies, { clientAddress: '2001:db8::1' })]).toEqual([403, 'pass']);
  });
});

describe('concurrency', () => {
  test('refuses what matters least first, all else at the bound, and makes room when a request is over', async () => {
    const { deps, metrics } = policyDeps();
    const policy = await makePolicy(
      concurrency,
      { max: 4, shed: [{ routes: ['GET /api/recommendations/*'], above: 0.5 }], retryAfter: 7 },
      deps,
    );
    const lesser = policyRequest({ path: '/api/recommendations/7' });
    const overs: (() => void)[] = [];
    const take = (request = policyRequest()) => {
      const verdict = policy.check!(request) as { kind: string; over?: () => void };
      if (verdict.over !== undefined) overs.push(verdict.over);
      return verdict.kind;
    };
    expect([take(lesser), take(lesser), take(lesser)]).toEqual(['pass', 'pass', 'refuse']);
    expect([take(), take(), take()]).toEqual(['pass', 'pass', 'refuse']);
    overs.pop()!();
    expect([take(lesser), take(), take()]).toEqual(['refuse', 'pass', 'refuse']);
    expect((policy.check!(policyRequest()) as Refuse).headers).toEqual({ 'Retry-After': '7' });
    expect(metrics.events.at(-1)).toBe('in-flight tested all 4');
  });

  test('a request that may be shed never has room where another has none', () => {
    fc.assert(
      fc.property(
        fc.nat(100),
        fc.integer({ min: 1, max: 100 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (n, max, above) => {
          if (hasRoom(n, max, above)) expect(hasRoom(n, max, 1)).toBe(true);
          expect(hasRoom(n, max, 1)).toBe(n < max);
        },
      ),
    );
  });

  test('counts each route by itself where it is told to', async () => {
    const policy = await makePolicy(concurrency, { max: 1, each: 'route' });
    const of = (route: string) => verdictOf(policy, { route });
    expect([await of('GET /a'), await of('GET /b'), await of('GET /a')]).toEqual(['pass', 'pass', 503]);
  });
});

describe('cors', () => {
  const preflight = (origin: string, method = 'PUT', headers = 'Content-Type'): RequestWishes => ({
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': headers },
  });
  const shop = () => makePolicy(cors, { origins: ['https://shop.example'], credentials: true, expose: ['ETag'] });

  test('answers a preflight itself, for the origins, methods and headers of the list to the letter', async () => {
    const policy = await shop();
    expect(await verdictOf(policy, preflight('https://shop.example'))).toBe(204);
    for (const origin of ['https://shop.example.evil', 'http://shop.example', 'https://SHOP.example', 'null', '']) {
      expect([origin, await verdictOf(policy, preflight(origin))]).toEqual([origin, 403]);
    }
    expect(await verdictOf(policy, preflight('https://shop.example', 'TRACE'))).toBe(403);
    expect(await verdictOf(policy, preflight('https://shop.example', 'PUT', 'content-type, x-else'))).toBe(403);
    expect(await verdictOf(policy, { method: 'OPTIONS' })).toBe('pass');
    expect(await verdictOf(policy, { method: 'POST', headers: { origin: 'https://other.example' } })).toBe('pass');
  });

  test('lets pages of the list read an answer, and nobody else, whatever the upstream says; caches are told', async () => {
    const policy = await shop();
    const upstream = ['Content-Type', 'text/plain', 'Access-Control-Allow-Origin', '*'];
    expect(answered(policy, { headers: { origin: 'https://shop.example' } }, upstream)).toEqual([
      'Content-Type: text/plain',
      'Access-Control-Allow-Origin: https://shop.example',
      'Access-Control-Allow-Credentials: true',
      'Vary: Origin',
      'Access-Control-Expose-Headers: ETag',
    ]);
    const others = answered(policy, { headers: { origin: 'https://other.example' } }, upstream);
    expect(others).toEqual(['Content-Type: text/plain', 'Vary: Origin', 'Access-Control-Expose-Headers: ETag']);
  });

  test('takes `*` only alone and without credentials', async () => {
    const everybody = await makePolicy(cors, { origins: ['*'] });
    expect(answered(everybody, { headers: { origin: 'https://any.example' } })).toEqual([
      'Access-Control-Allow-Origin: *',
    ]);
    await expect(makePolicy(cors, { origins: ['*'], credentials: true })).rejects.toThrow('without credentials');
    await expect(makePolicy(cors, { origins: ['*', 'https://shop.example'] })).rejects.toThrow('alone');
    expect(cors.schema.safeParse({ origins: ['https://shop.example/'] }).success).toBe(false);
  });
});

describe('security-headers', () => {
  test('puts on an answer what it does not have, takes off what nobody needs, and speaks of TLS only over TLS', async () => {
    const policy = await makePolicy(securityHeaders, {});
    expect(answered(policy, {}, ['X-Powered-By', 'Express', 'referrer-policy', 'no-referrer'])).toEqual([
      'referrer-policy: no-referrer',
      'X-Content-Type-Options: nosniff',
      "Content-Security-Policy: frame-ancestors 'none'",
    ]);
    expect(answered(policy, { https: true })).toContain('Strict-Transport-Security: max-age=15552000');
    expect(answered(policy, { https: true }, ['Strict-Transport-Security', 'max-age=1'])).not.toContain(
      'Strict-Transport-Security: max-age=15552000',
    );
  });

  test('adds who may frame a page to a policy that does not say so, and leaves one that does', async () => {
    const policy = await makePolicy(securityHeaders, { noSniff: false, referrerPolicy: false });
    const csp = (value: string) => answered(policy, {}, ['Content-Security-Policy', value]);
    expect(csp("default-src 'self'")).toHaveLength(2);
    expect(csp("default-src 'self'; Frame-Ancestors https://a.example")).toHaveLength(1);
    expect(csp("default-src 'self'; x-frame-ancestors 1")).toHaveLength(2);
  });
});

describe('maintenance', () => {
  test('refuses the slices that it names, and lets operators and their networks pass', async () => {
    const { deps } = policyDeps({ sliceOf: (_method, path) => (path === '/api/products' ? 'catalog' : null) });
    const policy = await makePolicy(
      maintenance,
      { slices: ['catalog'], retryAfter: '2m', bypass: ['10.0.0.0/8'] },
      deps,
    );
    expect(policy.check!(policyRequest())).toMatchObject({ status: 503, headers: { 'Retry-After': '120' } });
    expect(await verdictOf(policy, { path: '/api/orders' })).toBe('pass');
    expect(await verdictOf(policy, { operator: true })).toBe('pass');
    expect(await verdictOf(policy, { clientAddress: '10.1.1.1' })).toBe('pass');
  });

  test('without slices means all, with `writes` only those, and nothing while it is off', async () => {
    const writes = await makePolicy(maintenance, { access: 'writes' });
    expect([await verdictOf(writes), await verdictOf(writes, { method: 'DELETE' })]).toEqual(['pass', 503]);
    expect(await verdictOf(await makePolicy(maintenance, {}))).toBe(503);
    expect(await verdictOf(await makePolicy(maintenance, { on: false }))).toBe('pass');
  });
});

describe('size', () => {
  test('refuses a body that is declared too large before it is read, and bounds one that is not declared', async () => {
    const policy = await makePolicy(size, { request: '1KiB' });
    expect(await verdictOf(policy, { body: { kind: 'sized', bytes: 1025 } })).toBe(413);
    expect(await verdictOf(policy, { body: { kind: 'sized', bytes: 1024 } })).toBe('pass');
    expect(policy.check!(policyRequest({ body: { kind: 'chunked' } }))).toMatchObject({ maxBodyBytes: 1024 });
    await expect(makePolicy(size, {})).rejects.toThrow('expected `request` or `answer`');
  });
});

describe('rate-limit without Redis', () => {
  test('counts by what is known of a client, tells everyone how they stand, and refuses with the time to wait', async () => {
    const { deps, clock } = policyDeps({ workers: 2 });
    clock.nowMs = 6_000_000;
    const policy = await makePolicy(rateLimit, { limit: 4, window: '1m' }, deps);
    const of = (user: string) => policyRequest({ identity: { user } });
    expect(policy.check!(of('7'))).toEqual({
      kind: 'pass',
      addToAnswer: ['RateLimit-Policy', '"tested";q=4;w=60', 'RateLimit', '"tested";r=1;t=120'],
    });
    expect(await verdictOf(policy, { identity: { user: '7' } })).toBe('pass');
    expect(policy.check!(of('7'))).toMatchObject({
      status: 429,
      headers: { 'Retry-After': '90', RateLimit: '"tested";r=0;t=90', 'RateLimit-Policy': '"tested";q=4;w=60' },
    });
    expect(await verdictOf(policy, { identity: { user: '8' } })).toBe('pass');
    expect(await verdictOf(policy, { identity: { key: '7' } })).toBe('pass');
    clock.nowMs += 90_000;
    expect(await verdictOf(policy, { identity: { user: '7' } })).toBe('pass');
  });
});
