import { expect, test } from '@jest/globals';
import { applyConsumer, applyQueues } from './apply-consumer.ts';

const table = (source: string) => ({
  source,
  target: source,
  key: null,
  columns: null,
  transform: null,
  reference: false,
});

test('an applier takes the changes of its slice, and neither domain events nor the changes of others', () => {
  const { patterns } = applyConsumer({ slice: 'catalog', tables: [table('products'), table('odd.name')] });
  expect(patterns).toEqual([
    'catalog.products.upsert',
    'catalog.products.delete',
    'catalog.odd%2Ename.upsert',
    'catalog.odd%2Ename.delete',
  ]);
});

test('every part has a queue of its own', () => {
  expect(new Set(applyQueues('catalog')).size).toBe(16);
  expect(applyQueues('catalog')[7]).toBe('catalog.apply.p07');
});
