import { describe, expect, test } from '@jest/globals';
import { type FlagDocument, initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { defaultCompare } from '@strangler/platform/contracts/slice-compare.ts';
import { defaultCanaryBounds, type Slice } from '@strangler/platform/contracts/slice-file.ts';
import fc from 'fast-check';
import { buildRouteTable } from '../routes/route-table.ts';
import { createDecide } from './decide.ts';
import type { RequestFacts } from './decision.ts';

const catalog: Slice = {
  slice: 'catalog',
  service: 'catalog-service',
  routes: [
    { method: 'GET', path: '/api/products', access: 'read' },
    { method: 'GET', path: '/api/products/:id', access: 'read' },
    { method: 'POST', path: '/api/products', access: 'write' },
  ],
  stickyBy: ['jwt.sub', 'cookie.session'],
  tables: [],
  after: [],
  openapi: null,
  shadow: null,
  compare: defaultCompare,
  gates: { canary: defaultCanaryBounds, shadow: null },
};
const change = { id: 'c1', by: 'ada', at: '2026-01-01T00:00:00.000Z', reason: '' };
const base = initialFlagDocument('catalog', change);

const decideWith = (flag: FlagDocument | undefined) =>
  createDecide({
    routes: buildRouteTable([catalog]),
    flagOf: (slice) => (slice === 'catalog' ? flag : undefined),
    newStickyId: () => 'fresh-id',
    secureCookie: false,
    ownWrites: null,
  });
const withReads = (percent: number, cohorts: FlagDocument['reads']['cohorts'] = []): FlagDocument => ({
  ...base,
  reads: { percent, cohorts },
});
const request = (over: Partial<RequestFacts> = {}): RequestFacts => ({
  method: 'GET',
  path: '/api/products/7',
  headers: {},
  clientAddress: '127.0.0.1',
  operator: false,
  forcedSide: null,
  verifiedClaims: null,
  ...over,
});
const bearer = (claims: object): string =>
  `Bearer e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.signature`;
const userRequest = (sub: string): RequestFacts => request({ headers: { authorization: bearer({ sub }) } });

describe('a request that no slice claims', () => {
  test('goes to the monolith, whatever the flags say', () => {
    const decide = decideWith(withReads(100));
    expect(decide(request({ path: '/api/orders' }))).toMatchObject({
      side: 'monolith',
      reason: 'no-slice',
      slice: null,
    });
    expect(decide(request({ method: 'DELETE' }))).toMatchObject({
      side: 'monolith',
      reason: 'no-slice',
      access: 'write',
    });
  });
});

describe('a read of a slice', () => {
  test('without a flag document goes to the monolith', () => {
    expect(decideWith(undefined)(request())).toMatchObject({ side: 'monolith', reason: 'no-flag' });
  });

  test('at 0 % and at 100 % needs no identity and sets no cookie', () => {
    expect(decideWith(withReads(0))(request())).toMatchObject({
      side: 'monolith',
      reason: 'all-monolith',
      setCookie: null,
    });
    expect(decideWith(withReads(100))(request())).toMatchObject({
      side: 'service',
      reason: 'all-service',
      setCookie: null,
    });
  });

  test('served by the service may fall back to the monolith while the monolith takes the writes', () => {
    expect(decideWith(withReads(100))(request()).monolithMayServe).toBe(true);
    const moved: FlagDocument = { ...withReads(100), writes: { owner: 'service' } };
    expect(decideWith(moved)(request())).toMatchObject({ side: 'service', monolithMayServe: false });
  });

  test('of an anonymous user at a percentage gets a sticky cookie, and with it the same side again', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9999 }), fc.uuid(), (hundredths, id) => {
        const decide = createDecide({
          routes: buildRouteTable([catalog]),
          flagOf: () => withReads(hundredths / 100),
          newStickyId: () => id,
          secureCookie: false,
          ownWrites: null,
        });
        const first = decide(request());
        expect(first.setCookie).toMatch(/^strangler_sid=[^;]+; Path=\/; Max-Age=31536000; HttpOnly; SameSite=Lax$/);
        const again = decide(request({ headers: { cookie: `a=b; ${first.setCookie?.split(';')[0]}` } }));
        expect(again).toMatchObject({ side: first.side, setCookie: null });
      }),
      { numRuns: 1000 },
    );
  });

  test('raising the percentage moves nobody back, lowering it releases the newest first', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10_000 }),
        fc.integer({ min: 0, max: 10_000 }),
        fc.array(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 20, maxLength: 60 }),
        (one, other, users) => {
          const [low, high] = [Math.min(one, other), Math.max(one, other)];
          const atLow = decideWith(withReads(low / 100));
          const atHigh = decideWith(withReads(high / 100));
          for (const user of users) {
            if (atLow(userRequest(user)).side === 'service') expect(atHigh(userRequest(user)).side).toBe('service');
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('is decided the same on every instance of the proxy', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000 }), fc.string(), (hundredths, user) => {
        const flag = withReads(hundredths / 100);
        expect(decideWith(flag)(userRequest(user)).side).toBe(
          decideWith(structuredClone(flag))(userRequest(user)).side,
        );
      }),
      { numRuns: 1000 },
    );
  });

  test('reaches the service for about the percentage asked for', () => {
    for (const percent of [1, 10, 50, 90]) {
      const decide = decideWith(withReads(percent));
      const users = 20_000;
      let served = 0;
      for (let user = 0; user < users; user += 1) if (decide(userRequest(String(user))).side === 'service') served += 1;
      expect(Math.abs((served / users) * 100 - percent)).toBeLessThan(1);
    }
  });

  test('follows a cohort before the percentage, the first that matches', () => {
    const decide = decideWith(
      withReads(0, [
        { name: 'never', when: { users: ['9'] }, side: 'monolith' },
        { name: 'staff', when: { header: 'X-Team', equals: 'shop' }, side: 'service' },
        { name: 'beta', when: { cookie: 'beta', equals: '1' }, side: 'service' },
        { name: 'named', when: { users: ['7', '9'] }, side: 'service' },
      ]),
    );
    expect(decide(request({ headers: { 'x-team': 'shop' } }))).toMatchObject({ side: 'service', reason: 'cohort' });
    expect(decide(request({ headers: { cookie: 'x=beta; beta=1' } }))).toMatchObject({
      side: 'service',
      reason: 'cohort',
    });
    expect(decide(userRequest('7'))).toMatchObject({ side: 'service', reason: 'cohort' });
    expect(decide(userRequest('9'))).toMatchObject({ side: 'monolith', reason: 'cohort' });
    expect(decide(userRequest('8'))).toMatchObject({ side: 'monolith', reason: 'all-monolith' });
  });

  test('goes where an operator forces it, for reads only', () => {
    const decide = decideWith(withReads(0));
    const forced = { operator: true, forcedSide: 'service' as const };
    expect(decide(request(forced))).toMatchObject({ side: 'service', reason: 'forced', disclose: true });
    expect(decide(request({ ...forced, method: 'POST', path: '/api/products' }))).toMatchObject({
      side: 'monolith',
      reason: 'write-owner',
    });
  });

  test('is sticky by the first key present: token claim, then cookie', () => {
    const decide = decideWith(withReads(50));
    const both = { authorization: bearer({ sub: '42' }), cookie: 'session=abc' };
    expect(decide(request({ headers: both })).side).toBe(decide(userRequest('42')).side);
    for (const broken of [
      'Bearer x',
      'Bearer a.!!.c',
      'Basic abc',
      `Bearer a.${Buffer.from('null').toString('base64url')}.c`,
    ]) {
      const decided = decide(request({ headers: { authorization: broken, cookie: 'session=abc' } }));
      expect(decided.side).toBe(decide(request({ headers: { cookie: 'session=abc' } })).side);
    }
  });

  test('goes by the claims that the gateway has verified, where it has, and not by what the token says', () => {
    const decide = decideWith(withReads(50));
    for (const sub of ['1', '2', '3', '4', '5', '6', '7', '8']) {
      const verified = request({ headers: { authorization: bearer({ sub: 'forged' }) }, verifiedClaims: { sub } });
      expect(decide(verified).side).toBe(decide(userRequest(sub)).side);
    }
  });
});

describe('a write of a slice', () => {
  const write = request({ method: 'POST', path: '/api/products' });

  test('goes to its one owner at any percentage, with the epoch', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 }), (percent) => {
        expect(decideWith(withReads(percent))(write)).toMatchObject({
          side: 'monolith',
          reason: 'write-owner',
          epoch: 1,
        });
      }),
    );
    const moved: FlagDocument = { ...withReads(100), writes: { owner: 'service' }, epoch: 2 };
    expect(decideWith(moved)(write)).toMatchObject({ side: 'service', reason: 'write-owner', epoch: 2 });
  });

  test('is held while the ownership moves', () => {
    const held: FlagDocument = {
      ...withReads(100),
      writes: { owner: 'held', from: 'monolith', to: 'service', deadline: '2026-01-01T00:00:05Z' },
    };
    expect(decideWith(held)(write)).toMatchObject({ reason: 'held' });
    expect(decideWith(held)(request())).toMatchObject({ side: 'service', reason: 'all-service' });
  });

  test('is held on the way back too, and reads stay where the newest data is, whatever an operator asks for', () => {
    const back: FlagDocument = {
      ...withReads(100),
      writes: { owner: 'held', from: 'service', to: 'monolith', deadline: '2026-01-01T00:00:05Z' },
    };
    expect(decideWith(back)(write)).toMatchObject({ side: 'service', reason: 'held' });
    const forced = decideWith(back)(request({ operator: true, forcedSide: 'monolith' }));
    expect(forced).toMatchObject({ side: 'service', reason: 'all-service', monolithMayServe: false });
  });
});
