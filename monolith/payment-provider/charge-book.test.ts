import { describe, expect, test } from '@jest/globals';
import { ChargeBook } from './charge-book.ts';

const now = new Date('2026-03-01T12:00:00Z');
const request = (reference: string) => ({ amount_cents: 1_000, currency: 'EUR', reference, card_token: 'tok_visa' });

describe('the book of charges', () => {
  test('a key stands for one request', () => {
    const book = new ChargeBook(10);
    expect(book.chargeKeyUse('k', request('a'))).toEqual({ kind: 'new' });
    const charge = book.open('k', request('a'), now);
    expect(book.chargeKeyUse('k', request('a'))).toEqual({ kind: 'same', result: charge });
    expect(book.chargeKeyUse('k', request('b'))).toEqual({ kind: 'different' });
  });

  test('a decided charge keeps its outcome', () => {
    const book = new ChargeBook(10);
    const charge = book.open('k', request('a'), now);
    book.decide(charge, null);
    book.decide(charge, 'card_declined');
    expect(charge).toMatchObject({ status: 'succeeded', failure_code: null });
  });

  test('no more is refunded than was taken', () => {
    const book = new ChargeBook(10);
    const charge = book.open('k', request('a'), now);
    expect(book.refund('r0', charge, undefined, now)).toEqual({ kind: 'not_refundable', status: 'pending' });
    book.decide(charge, null);
    expect(book.refund('r1', charge, 400, now)).toMatchObject({ kind: 'refunded', refund: { amount_cents: 400 } });
    expect(book.refund('r2', charge, 601, now)).toEqual({ kind: 'too_much', leftCents: 600 });
    expect(book.refund('r3', charge, undefined, now)).toMatchObject({
      kind: 'refunded',
      refund: { amount_cents: 600 },
    });
    expect(book.refund('r4', charge, undefined, now)).toEqual({ kind: 'too_much', leftCents: 0 });
  });

  test('the oldest charges are forgotten when the book is full', () => {
    const book = new ChargeBook(3);
    const charges = ['a', 'b', 'c', 'd'].map((name) => book.open(name, request(name), now));
    expect(book.size).toBe(3);
    expect(book.find(charges[0]!.id)).toBeUndefined();
    expect(book.byReference('d')).toEqual([charges[3]]);
    expect(book.chargeKeyUse('a', request('a'))).toEqual({ kind: 'new' });
  });
});
