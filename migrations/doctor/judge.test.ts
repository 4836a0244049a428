import { describe, expect, test } from '@jest/globals';
import { type FlagDocument, initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import fc from 'fast-check';
import type { DatabaseFacts, SliceFacts, StoreFacts } from './facts.ts';
import { judgeFences, judgeProxies } from './judge-flags.ts';
import { judgeDatabase } from './judge-servers.ts';

const change = { id: 'c1', by: 'test', at: '2026-01-01T00:00:00.000Z', reason: '' };
const now = new Date('2026-01-01T00:00:00Z');

const storeWith = (edit: Partial<FlagDocument>): StoreFacts => {
  const document: FlagDocument = { ...initialFlagDocument('catalog', change), ...edit };
  const flags = new Map([['catalog', { document, index: '1' }]]);
  return { location: 'file://flags', listing: { known: true, value: { flags, refused: new Map() } }, session: null };
};

const sliceWith = (value: Extract<NonNullable<SliceFacts['fences']>, { known: true }>['value']): SliceFacts => ({
  slice: 'catalog',
  looked: true,
  preflight: null,
  fences: { known: true, value },
  cutoverOpen: false,
  broker: null,
  writers: null,
});

describe('fences', () => {
  const fence = fc.option(
    fc.record({
      state: fc.constantFrom('open' as const, 'closed' as const),
      epoch: fc.integer({ min: 1, max: 4 }),
      owner: fc.constantFrom('monolith' as const, 'service' as const),
    }),
  );

  test('are well only where the owner may write and, once there is a fence of its own, the other side may not', () => {
    fc.assert(
      fc.property(
        fence,
        fence,
        fc.constantFrom('monolith' as const, 'service' as const),
        (monolith, service, owner) => {
          const stage = owner === 'service' ? 'writes' : 'reads';
          const facts = { store: storeWith({ stage, writes: { owner }, epoch: 4 }), now };
          const agree = judgeFences(facts, sliceWith({ monolith, service })).find(
            ({ check }) => check === 'fences-agree',
          );
          const [own, other] = owner === 'monolith' ? [monolith, service] : [service, monolith];
          const mayWrite = own?.state !== 'closed';
          const bothMay = other?.state === 'open' && (own !== null || owner === 'service');
          const unguarded = owner === 'service' && monolith === null;
          expect(agree?.outcome).toBe(mayWrite && !bothMay && !unguarded ? 'ok' : 'fail');
        },
      ),
    );
  });

  test('that were moved under an epoch which the flag has not reached are told of', () => {
    const facts = { store: storeWith({ epoch: 2 }), now };
    const open = { state: 'open', epoch: 3, owner: 'monolith' } as const;
    const found = judgeFences(facts, sliceWith({ monolith: open, service: null }));
    expect(found.find(({ check }) => check === 'fences-agree')).toMatchObject({ outcome: 'fail' });
  });

  test('are not judged while writes are held, and the hold is: before its deadline and after', () => {
    const store = storeWith({
      stage: 'reads',
      writes: { owner: 'held', from: 'monolith', to: 'service', deadline: '2026-01-01T00:00:05.000Z' },
    });
    const both = sliceWith({ monolith: null, service: null });
    expect(judgeFences({ store, now }, both).map(({ check, outcome }) => [check, outcome])).toEqual([
      ['cutover-at-its-end', 'warn'],
    ]);
    const later = new Date('2026-01-01T00:00:06Z');
    expect(judgeFences({ store, now: later }, both)).toMatchObject([{ outcome: 'fail' }]);
  });
});

describe('writes that take long', () => {
  const slowWrites = (stage: FlagDocument['stage'], ...tookMs: (number | null)[]) => {
    const writes = tookMs.map((ms) => ({
      slice: 'catalog',
      epoch: 1,
      gate: 'open' as const,
      deadline: null,
      heldNow: 0,
      inFlight: [],
      acknowledged: null,
      slowest: ms === null ? null : { route: `POST /took/${ms}`, tookMs: ms },
    }));
    const workers = writes.map((one, worker) => ({
      ...{ worker, pid: worker, flagSource: 'store' as const, flags: [], upstreams: [], inFlight: 0 },
      writes: [one, { ...one, slice: 'orders', slowest: { route: 'POST /other', tookMs: 60_000 } }],
    }));
    const status: ProxyStatus = { id: 'p1', slices: [{ slice: 'catalog', service: 'catalog' }], workers };
    const checks = judgeProxies({ proxies: [{ address: 'p1', status }], store: storeWith({ stage }) });
    return checks.find(({ check }) => check === 'proxies-slow-writes');
  };

  test('are told of by their route where a cut-over would not wait for them, and no sooner', () => {
    expect(slowWrites('reads', 40, 5_000)).toMatchObject({ outcome: 'ok', where: 'catalog' });
    expect(slowWrites('reads', 7_200, 40, null)).toMatchObject({
      outcome: 'warn',
      found: 'POST /took/7200 took 7.2 s within the last minutes',
      next: expect.stringContaining('--hold'),
    });
  });

  test('are nothing to look at where none was seen, or none will be waited for', () => {
    expect([slowWrites('reads', null), slowWrites('complete', 9_000)]).toEqual([undefined, undefined]);
  });
});

describe('a database', () => {
  const outcomes = (more: Partial<Extract<DatabaseFacts['server'], { known: true }>['value']>, version = '8.0.36') =>
    Object.fromEntries(
      judgeDatabase({
        end: 'source',
        slices: ['catalog'],
        where: '127.0.0.1:3306/shop',
        server: {
          known: true,
          value: {
            server: {
              ...{
                dialect: version.includes('Maria') ? 'mariadb' : 'mysql',
                version,
                database: 'shop',
                account: 'mover@%',
              },
              ...{ maxAllowedPacketBytes: 64 << 20, binaryLog: true, trustsFunctionCreators: true },
            },
            ...{ isolation: 'READ-COMMITTED', timeZone: 'UTC', clockAheadMs: 0, clockDoubtMs: 1, seesPrepared: true },
            outbox: null,
            ...more,
          },
        },
      }).map(({ check, outcome }) => [check, outcome]),
    );

  test.each([
    [{}, '8.0.36', {}],
    [{}, '5.7.44', { 'database-version': 'fail' }],
    [{}, '10.5.9-MariaDB', { 'database-version': 'fail' }],
    [{}, '10.11.6-MariaDB', {}],
    [{ clockAheadMs: -501.5, clockDoubtMs: 0 }, '9.7.4', { 'database-clock': 'warn' }],
    [{ clockAheadMs: 501.5, clockDoubtMs: 100 }, '9.7.4', {}],
    [{ clockAheadMs: 5_002 }, '9.7.4', { 'database-clock': 'fail' }],
    [{ isolation: 'READ-UNCOMMITTED' }, '9.7.4', { 'database-isolation': 'fail' }],
    [{ isolation: 'SERIALIZABLE' }, '9.7.4', { 'database-isolation': 'warn' }],
    [{ timeZone: 'Europe/Berlin' }, '9.7.4', { 'database-time-zone': 'warn' }],
    [{ seesPrepared: false }, '9.7.4', { 'database-xa': 'warn' }],
    [
      { outbox: { oldestUnpublishedMs: 6_000, parts: 16, leased: 15, bytes: 0 } },
      '9.7.4',
      { 'outbox-age': 'warn', 'outbox-relay': 'fail' },
    ],
    [{ outbox: { oldestUnpublishedMs: 0, parts: 16, leased: 16, bytes: 2 ** 36 } }, '9.7.4', { 'outbox-size': 'warn' }],
  ])('with %j, version %s, is told of as %j and else as well', (more, version, expected) => {
    const found = outcomes(more, version);
    expect(Object.fromEntries(Object.entries(found).filter(([, outcome]) => outcome !== 'ok'))).toEqual(expected);
  });
});
