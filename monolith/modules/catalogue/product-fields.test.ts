import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type AttributeValue, patchAttributes, productPatch, wholeProduct } from './product-fields.ts';
import { attributesOf } from './product-representation.ts';

const names = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/);
const values: fc.Arbitrary<AttributeValue> = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n)),
  fc.boolean(),
);
const attributes = fc.dictionary(names, values).map((all) => ({ ...all }));

describe('attributes', () => {
  test('a patch sets what it names, removes what it sets to null and leaves the rest', () => {
    fc.assert(
      fc.property(attributes, fc.dictionary(names, fc.option(values)), (current, patch) => {
        const patched = patchAttributes(current, patch);
        for (const [name, value] of Object.entries(patch)) expect(patched[name]).toEqual(value ?? undefined);
        for (const [name, value] of Object.entries(current)) if (!(name in patch)) expect(patched[name]).toEqual(value);
        expect(patchAttributes(patched, patch)).toEqual(patched);
      }),
    );
  });

  test('they are shown alike whether the database gives text or a value, in any order of names', () => {
    fc.assert(
      fc.property(attributes, (all) => {
        const reversed = Object.fromEntries(Object.entries(all).reverse());
        expect(JSON.stringify(attributesOf(JSON.stringify(all)))).toBe(JSON.stringify(attributesOf(reversed)));
      }),
    );
  });
});

describe('what is taken for a product', () => {
  const whole = { sku: 'A-1', name: 'A thing', category_id: 1, price_cents: 100 };

  test('what has a default may be left out', () => {
    expect(wholeProduct.parse(whole)).toEqual({
      ...whole,
      description: '',
      currency: 'EUR',
      attributes: {},
      active: true,
    });
  });

  test.each([
    ['a price in fractions', { price_cents: 1.5 }],
    ['a negative price', { price_cents: -1 }],
    ['a price as text', { price_cents: '100' }],
    ['a small SKU', { sku: 'a-1' }],
    ['an unknown field', { version: 2 }],
    ['a nested attribute', { attributes: { size: { width: 1 } } }],
    ['an attribute with a strange name', { attributes: { Größe: 1 } }],
    ['a lone surrogate', { name: 'a\ud800' }],
    ['too many attributes', { attributes: Object.fromEntries(Array.from({ length: 51 }, (_, at) => [`a${at}`, at])) }],
  ])('%s is refused', (_what, change) => {
    expect(wholeProduct.safeParse({ ...whole, ...change }).success).toBe(false);
  });

  test('null removes an attribute and nothing else', () => {
    expect(productPatch.parse({ attributes: { colour: null } })).toEqual({ attributes: { colour: null } });
    for (const field of [
      'sku',
      'name',
      'description',
      'category_id',
      'price_cents',
      'currency',
      'active',
      'attributes',
    ]) {
      expect(productPatch.safeParse({ [field]: null }).success).toBe(false);
    }
  });
});
