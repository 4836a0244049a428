import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { certificateNames } from './certificate-names.ts';
import { claimsFault } from './claims.ts';
import { callersOfMethod, judge, type Presented } from './judge.ts';

const granted = new Set(['shop', 'orders']);
const grants = {
  knows: (name: string) => granted.has(name) || name === 'proxy',
  grantsHere: (name: string) => granted.has(name),
};
const token = (caller: string) => ({ kind: 'valid', caller }) as const;
const none = { kind: 'none' } as const;

describe('who may call', () => {
  test.each([
    ['a caller that is named', token('shop'), undefined, ['shop'], 'shop'],
    ['one of several', token('orders'), undefined, ['shop', 'orders'], 'orders'],
    ['a caller that is not named', token('orders'), undefined, ['shop'], 'forbidden not_allowed'],
    ['anybody where nobody is named', token('shop'), undefined, [], 'forbidden not_allowed'],
    ['one that may not call here at all', token('proxy'), undefined, ['proxy'], 'forbidden not_granted'],
    ['a call without anything', none, undefined, ['shop'], 'unauthenticated missing'],
    ['a bad token', { kind: 'invalid', fault: 'expired' }, undefined, ['shop'], 'unauthenticated expired'],
    [
      'a bad token beside a good certificate',
      { kind: 'invalid', fault: 'signature' },
      ['shop'],
      ['shop'],
      'unauthenticated signature',
    ],
    ['a certificate alone', none, ['shop'], ['shop'], 'shop'],
    ['a certificate of two callers alone', none, ['shop', 'orders'], ['shop'], 'unauthenticated certificate'],
    ['a certificate of nobody who is known', none, ['stranger'], ['shop'], 'unauthenticated certificate'],
    ['a certificate without a name', none, [], ['shop'], 'unauthenticated certificate'],
    ['a token in the name of the certificate', token('shop'), ['db', 'shop'], ['shop'], 'shop'],
    [
      "a token that goes by another's certificate",
      token('shop'),
      ['orders'],
      ['shop', 'orders'],
      'unauthenticated certificate',
    ],
  ] as [string, Presented['token'], string[] | undefined, string[], string][])(
    '%s',
    (_name, shown, names, allowed, expected) => {
      const verdict = judge({ token: shown, certificateNames: names }, allowed, grants);
      expect(verdict.kind === 'accepted' ? verdict.caller : `${verdict.as} ${verdict.reason}`).toBe(expected);
    },
  );

  test('nobody is let in whom the rule does not name, whatever is shown', () => {
    const name = fc.constantFrom('shop', 'orders', 'proxy', 'stranger');
    const shown = fc.oneof(fc.constant(none), name.map(token));
    const names = fc.option(fc.array(name, { maxLength: 3 }), { nil: undefined });
    fc.assert(
      fc.property(shown, names, fc.array(name, { maxLength: 3 }), (presented, certificate, allowed) => {
        const verdict = judge({ token: presented, certificateNames: certificate }, allowed, grants);
        if (verdict.kind === 'refused') return;
        expect(allowed).toContain(verdict.caller);
        expect(granted.has(verdict.caller)).toBe(true);
        if (presented.kind === 'valid') expect(verdict.caller).toBe(presented.caller);
        if (certificate !== undefined) expect(certificate).toContain(verdict.caller);
      }),
    );
  });

  test('a method is looked up by its own name, then by *, and else nobody may', () => {
    const callers = { Ledger: { Move: ['shop'], '*': ['orders'] }, Closed: {} };
    expect(callersOfMethod(callers, '/ledger.v1.Ledger/Move')).toEqual(['shop']);
    expect(callersOfMethod(callers, '/ledger.v1.Ledger/Look')).toEqual(['orders']);
    expect(callersOfMethod(callers, '/Ledger/Look')).toEqual(['orders']);
    for (const path of ['/ledger.v1.Closed/Move', '/ledger.v1.Other/Move', 'Move', '', '/ledger.v1.constructor/name'])
      expect(callersOfMethod(callers, path)).toEqual([]);
  });
});

describe('the claims of a token', () => {
  const bounds = { self: 'catalog', nowMs: 1_000_000_000, skewMs: 5_000, mostLifeMs: 300_000 };
  const now = bounds.nowMs / 1_000;
  test.each([
    ['good', { aud: 'catalog', iat: now, exp: now + 60 }, undefined],
    ['at the end of its life, within the skew', { aud: 'catalog', iat: now - 60, exp: now - 4 }, undefined],
    ['signed by a clock that is a little ahead', { aud: 'catalog', iat: now + 5, exp: now + 65 }, undefined],
    ['over', { aud: 'catalog', iat: now - 60, exp: now - 5 }, 'expired'],
    ['of the future', { aud: 'catalog', iat: now + 6, exp: now + 60 }, 'not_yet'],
    ['good for a year', { aud: 'catalog', iat: now, exp: now + 31_536_000 }, 'lifetime'],
    ["for another's ears", { aud: 'payments', iat: now, exp: now + 60 }, 'audience'],
    ['for two audiences', { aud: ['catalog', 'payments'], iat: now, exp: now + 60 }, 'audience'],
    ['for a list of this one', { aud: ['catalog'], iat: now, exp: now + 60 }, 'audience'],
    ['for nobody', { iat: now, exp: now + 60 }, 'audience'],
    ['without an end', { aud: 'catalog', iat: now }, 'claims'],
    ['without a beginning', { aud: 'catalog', exp: now + 60 }, 'claims'],
    ['that ends before it begins', { aud: 'catalog', iat: now, exp: now - 1 }, 'claims'],
    ['with times that are texts', { aud: 'catalog', iat: `${now}`, exp: `${now + 60}` }, 'claims'],
    ['with times that are no numbers', { aud: 'catalog', iat: Number.NaN, exp: now }, 'claims'],
  ])('%s', (_name, payload, expected) => {
    expect(claimsFault(payload, bounds)).toBe(expected);
  });

  test('are good for no longer than the bound, whatever their times', () => {
    const time = fc.double({ min: now - 1_000, max: now + 1_000, noNaN: true });
    fc.assert(
      fc.property(time, time, (iat, exp) => {
        if (claimsFault({ aud: 'catalog', iat, exp }, bounds) !== undefined) return;
        expect(exp - iat).toBeLessThanOrEqual(300);
        expect(exp).toBeGreaterThan(now - 5);
        expect(iat).toBeLessThanOrEqual(now + 5);
      }),
    );
  });
});

test('the names of a certificate are its DNS names and the ends of its SPIFFE ids', () => {
  const names = (subjectaltname: string) => certificateNames({ subjectaltname });
  expect(names('DNS:shop, IP Address:127.0.0.1, URI:spiffe://example.org/ns/prod/sa/orders')).toEqual([
    'shop',
    'orders',
  ]);
  expect(names('DNS:shop.example.org, DNS:*, URI:https://example.org/shop, email:shop')).toEqual([]);
  // As Node writes a single name that holds a comma.
  expect(names('DNS:"evil, DNS:shop"')).toEqual([]);
  expect(names('URI:"spiffe://example.org/a, DNS:shop"')).toEqual([]);
  expect(names('')).toEqual([]);
});
