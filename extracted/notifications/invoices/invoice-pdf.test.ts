import { expect, test } from '@jest/globals';
import { invoicePdf, printable } from './invoice-pdf.ts';

const order = (lines: number) => ({
  id: 42,
  accountId: 7,
  totalCents: lines * 200,
  currency: 'EUR',
  items: Array.from({ length: lines }, (_, n) => ({
    name: `Thing ${n} `.repeat(12),
    unitPriceCents: 100,
    quantity: 2,
  })),
  placedAt: new Date('2026-01-02T03:04:05.678Z'),
});

const pages = (pdf: Buffer) => pdf.toString('latin1').match(/\/Type \/Page\b/g)?.length;

test('an invoice is a PDF with as many pages as its lines need, and tells how far it is', async () => {
  const shares: number[] = [];
  const progress = async (share: number) => void shares.push(share);
  const short = await invoicePdf(order(2), { to: 'Zoë', from: 'The shop', progress });
  expect([short.subarray(0, 5).toString(), pages(short)]).toEqual(['%PDF-', 1]);
  expect(shares).toEqual([0.5, 1]);
  const long = await invoicePdf(order(60), { to: 'Zoë', from: 'The shop', progress: async () => {} });
  expect(pages(long)).toBeGreaterThan(1);
});

test('letters that the font has stay, others are marked', () => {
  expect(printable('Zoë, 12 € – “ok”')).toBe('Zoë, 12 € – “ok”');
  expect(printable('e\u0301 日本\n')).toBe('é ???');
});
