import { expect, test } from '@jest/globals';
import { applyConsumer, applyQueues } from './apply-consumer.ts';
import { pipeNameOf } from './direction.ts';

const table = (source: string) => ({
  source,
  target: source,
  key: null,
  columns: null,
  transform: null,
  reference: false,
  until: null,
});

test('an applier takes the changes of its slice and of the canary, and neither domain events nor the changes of others', () => {
  const { patterns } = applyConsumer({ slice: 'catalog', tables: [table('products'), table('odd.name')] });
  expect(patterns).toEqual([
    'catalog.products.upsert',
    'catalog.products.delete',
    'catalog.odd%2Ename.upsert',
    'catalog.odd%2Ename.delete',
    'catalog.strangler_canary.upsert',
    'catalog.strangler_canary.delete',
  ]);
});

test('the pipes of both directions have no topic and no queue in common', () => {
  const tables = [table('products')];
  const forward = applyConsumer({ slice: 'catalog', tables });
  const reverse = applyConsumer({ slice: pipeNameOf('catalog', 'reverse'), tables });
  expect(reverse.patterns.filter((pattern) => forward.patterns.includes(pattern))).toEqual([]);
  expect(applyQueues(pipeNameOf('catalog', 'reverse'))[7]).toBe('catalog-reverse.apply.p07');
});

test('every part has a queue of its own', () => {
  expect(new Set(applyQueues('catalog')).size).toBe(16);
  expect(applyQueues('catalog')[7]).toBe('catalog.apply.p07');
});
