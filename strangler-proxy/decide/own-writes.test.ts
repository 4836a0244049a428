import { describe, expect, test } from '@jest/globals';
import { type FlagDocument, flagDocumentSchema, stages } from '@strangler/platform/contracts/flag-document.ts';
import { defaultCompare } from '@strangler/platform/contracts/slice-compare.ts';
import { defaultCanaryBounds } from '@strangler/platform/contracts/slice-file.ts';
import fc from 'fast-check';
import { buildRouteTable } from '../routes/route-table.ts';
import { createDecide } from './decide.ts';
import type { RequestFacts } from './decision.ts';
import { createOwnWrites, mostSlicesInCookie, type OwnWritesOptions, wroteCookie } from './own-writes.ts';

const windowMs = 5_000;
const startMs = Date.parse('2026-01-01T00:00:00Z');

const remembering = (over: Partial<OwnWritesOptions> = {}) => {
  let now = startMs;
  let forgotten = 0;
  const ownWrites = createOwnWrites({
    windowMs,
    maxUsers: 3,
    secureCookie: false,
    nowMs: () => now,
    onForgotten: () => {
      forgotten += 1;
    },
    ...over,
  });
  const pass = (ms: number): void => {
    now += ms;
  };
  return { ownWrites, pass, forgotten: () => forgotten };
};
const facts = (headers: RequestFacts['headers'] = {}, over: Partial<RequestFacts> = {}): RequestFacts => ({
  method: 'GET',
  path: '/api/products',
  headers,
  clientAddress: '127.0.0.1',
  operator: false,
  forcedSide: null,
  verifiedClaims: null,
  ...over,
});
const stickyBy = ['header.x-user'];
const cookieOf = (setCookie: string): string => setCookie.split(';')[0]!;

describe('who has just written', () => {
  test('is known to another proxy by the cookie, until the window is over', () => {
    const [one, other] = [remembering(), remembering()];
    const setCookie = one.ownWrites.took('catalog', 'monolith', stickyBy, facts());
    expect(setCookie).toBe(
      `strangler_wrote=catalog:monolith:${startMs + windowMs}; Path=/; Max-Age=5; HttpOnly; SameSite=Lax`,
    );
    const later = facts({ cookie: `a=b; ${cookieOf(setCookie)}` });
    expect(other.ownWrites.sideOf('catalog', stickyBy, later)).toBe('monolith');
    expect(other.ownWrites.sideOf('orders', stickyBy, later)).toBeNull();
    other.pass(windowMs);
    expect(other.ownWrites.sideOf('catalog', stickyBy, later)).toBeNull();
  });

  test('without cookies is known by the sticky key, until the window is over', () => {
    const { ownWrites, pass } = remembering();
    ownWrites.took('catalog', 'monolith', stickyBy, facts({ 'x-user': '7' }));
    expect(ownWrites.sideOf('catalog', stickyBy, facts({ 'x-user': '7' }))).toBe('monolith');
    expect(ownWrites.sideOf('catalog', stickyBy, facts({ 'x-user': '8' }))).toBeNull();
    expect(ownWrites.sideOf('catalog', stickyBy, facts())).toBeNull();
    pass(windowMs);
    expect(ownWrites.sideOf('catalog', stickyBy, facts({ 'x-user': '7' }))).toBeNull();
  });

  test('is remembered within a bound, the oldest forgotten first and counted', () => {
    const { ownWrites, pass, forgotten } = remembering();
    for (let user = 0; user < 5; user += 1)
      ownWrites.took('catalog', 'monolith', stickyBy, facts({ 'x-user': `${user}` }));
    expect([ownWrites.size(), forgotten()]).toEqual([3, 2]);
    expect(ownWrites.sideOf('catalog', stickyBy, facts({ 'x-user': '1' }))).toBeNull();
    expect(ownWrites.sideOf('catalog', stickyBy, facts({ 'x-user': '2' }))).toBe('monolith');
    pass(windowMs);
    ownWrites.took('catalog', 'monolith', stickyBy, facts({ 'x-user': '9' }));
    expect([ownWrites.size(), forgotten()]).toEqual([1, 2]);
  });

  test('in many slices keeps the cookie bounded, with the newest in it', () => {
    const { ownWrites, pass } = remembering();
    let cookie = '';
    for (let slice = 0; slice < 30; slice += 1) {
      cookie = cookieOf(ownWrites.took(`s${slice}`, 'monolith', stickyBy, facts({ cookie })));
      pass(10);
    }
    expect(cookie.split('~')).toHaveLength(mostSlicesInCookie);
    const later = facts({ cookie });
    expect(ownWrites.sideOf('s29', stickyBy, later)).toBe('monolith');
    expect(ownWrites.sideOf('s0', stickyBy, later)).toBeNull();
  });

  test('whatever stands in the cookie, nothing is thrown and nothing lasts longer than twice the window', () => {
    const { ownWrites } = remembering();
    const forged = facts({ cookie: `${wroteCookie}=catalog:monolith:${startMs + 1e9}` });
    expect(ownWrites.sideOf('catalog', stickyBy, forged)).toBeNull();
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
        const request = facts({ cookie: `${wroteCookie}=${text}` });
        ownWrites.sideOf('catalog', stickyBy, request);
        expect(ownWrites.took('catalog', 'monolith', stickyBy, request)).toMatch(/^strangler_wrote=[a-z0-9:~-]+; Path/);
      }),
    );
  });
});

const flag = (over: Partial<FlagDocument>): FlagDocument => ({
  slice: 'catalog',
  stage: 'canary',
  reads: { percent: 100, cohorts: [] },
  writes: { owner: 'monolith' },
  epoch: 1,
  change: { id: 'c1', by: 'ada', at: '2026-01-01T00:00:00.000Z', reason: '' },
  ...over,
});
const decideWith = (document: FlagDocument, ownWrites = remembering().ownWrites) =>
  createDecide({
    routes: buildRouteTable([
      {
        slice: 'catalog',
        service: 'catalog',
        routes: [
          { method: 'GET', path: '/api/products', access: 'read' },
          { method: 'POST', path: '/api/products', access: 'write' },
        ],
        stickyBy,
        tables: [],
        after: [],
        openapi: null,
        shadow: null,
        compare: defaultCompare,
        gates: { canary: defaultCanaryBounds, shadow: null },
      },
    ]),
    flagOf: () => document,
    newStickyId: () => 'fresh',
    secureCookie: false,
    ownWrites,
  });
const wrote = (side: string) => facts({ cookie: `${wroteCookie}=catalog:${side}:${startMs + 1_000}` });

describe('a decision about one who has just written', () => {
  test('reads where the write was taken, with the reason, and keeps the cookie that makes a user sticky', () => {
    expect(decideWith(flag({}))(wrote('monolith'))).toMatchObject({ side: 'monolith', reason: 'own-write' });
    expect(decideWith(flag({}))(facts())).toMatchObject({ side: 'service', reason: 'all-service' });
    const split = decideWith(flag({ reads: { percent: 99.99, cohorts: [] } }));
    expect(split(wrote('monolith'))).toMatchObject({
      side: 'monolith',
      reason: 'own-write',
      setCookie: expect.stringContaining('strangler_sid=fresh'),
    });
  });

  test('stands above a cohort, and below an operator', () => {
    const cohorts = [{ name: 'staff', when: { header: 'x-team', equals: 'shop' }, side: 'service' as const }];
    const decide = decideWith(flag({ reads: { percent: 0, cohorts } }));
    const request = wrote('monolith');
    const staff = { ...request, headers: { ...request.headers, 'x-team': 'shop' } };
    expect(decide(staff)).toMatchObject({ side: 'monolith', reason: 'own-write' });
    expect(decide({ ...staff, operator: true, forcedSide: 'service' })).toMatchObject({
      side: 'service',
      reason: 'forced',
    });
  });

  test('never sends a read to a side that may be behind, whatever flag and cookie say', () => {
    const writes = fc.oneof(
      fc.constant({ owner: 'monolith' } as const),
      fc.constant({ owner: 'service' } as const),
      fc.constantFrom('monolith' as const, 'service' as const).map((from) => ({
        owner: 'held' as const,
        from,
        to: from === 'monolith' ? ('service' as const) : ('monolith' as const),
        deadline: '2026-01-01T00:00:05Z',
      })),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...stages),
        fc.integer({ min: 0, max: 100 }),
        writes,
        fc.constantFrom('monolith', 'service'),
        (stage, percent, owner, side) => {
          const document = flag({ stage, reads: { percent, cohorts: [] }, writes: owner });
          fc.pre(flagDocumentSchema.safeParse(document).success);
          const newest = owner.owner === 'held' ? owner.from : owner.owner;
          const decided = decideWith(document)(wrote(side));
          if (decided.reason === 'own-write') expect(decided.side).toBe(newest);
          if (newest === 'service') expect(decided.side).toBe('service');
          if (side === newest) expect(decided.side).toBe(newest);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('notes a write only where the monolith takes it and the service answers reads', () => {
    const noted = (document: FlagDocument) => decideWith(document)(facts({}, { method: 'POST' })).ownWrite;
    expect(noted(flag({}))).toEqual({ stickyBy });
    expect(noted(flag({ stage: 'reads' }))).toEqual({ stickyBy });
    expect(noted(flag({ stage: 'shadow', reads: { percent: 1, cohorts: [] } }))).toEqual({ stickyBy });
    expect(noted(flag({ stage: 'shadow', reads: { percent: 0, cohorts: [] } }))).toBeNull();
    expect(noted(flag({ stage: 'writes', writes: { owner: 'service' } }))).toBeNull();
    expect(decideWith(flag({}))(facts()).ownWrite).toBeNull();
  });
});
