import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type AppliedChange,
  type AppliedMessage,
  AppliedMessageError,
  appliedExchange,
  appliedPattern,
  appliedRoutingKey,
  formatAppliedMessage,
  maxAppliedChanges,
  parseAppliedMessage,
} from './applied-message.ts';
import { rowOps, rowTopic } from './row-message.ts';

const digits = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
const name = fc.string({ minLength: 1, maxLength: 64, unit: 'binary' });
const instant = fc
  .date({ min: new Date('2020-01-01'), max: new Date('2090-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString());

const change = fc.record({
  // No JavaScript object has that one.
  key: fc.dictionary(
    fc.string().filter((column) => column !== '__proto__'),
    fc.string({ unit: 'binary' }),
    { noNullPrototype: true },
  ),
  keyText: fc.string({ unit: 'binary' }),
  op: fc.constantFrom(...rowOps),
  version: fc.record({ epoch: fc.nat(), id: digits }),
  at: instant.map((text) => text.replace('Z', '001Z')),
});

const about = { slice: name, table: name, target: name, appliedAt: instant };
const message: fc.Arbitrary<AppliedMessage> = fc.oneof(
  fc.record({
    ...about,
    extent: fc.constant('changes' as const),
    changes: fc.array(change, { minLength: 1, maxLength: 5 }),
  }),
  fc.record({ ...about, extent: fc.constant('table' as const), changes: fc.constant<AppliedChange[]>([]) }),
);

const one: AppliedMessage = {
  slice: 'catalog',
  table: 'products',
  target: 'product',
  appliedAt: '2026-11-21T08:45:42.123Z',
  extent: 'changes',
  changes: [
    {
      key: { id: '7' },
      keyText: '7',
      op: 'upsert',
      version: { epoch: 1, id: '18446744073709551615' },
      at: '2026-11-21T08:45:42.000001Z',
    },
  ],
};

test('what is written is read again as it was', () => {
  fc.assert(
    fc.property(message, (written) => {
      expect(parseAppliedMessage(formatAppliedMessage(written), 'here')).toEqual(written);
    }),
  );
});

describe('a message that is something else', () => {
  const faults = (value: unknown): string => {
    try {
      parseAppliedMessage(typeof value === 'string' ? value : JSON.stringify(value), 'message 7');
    } catch (error) {
      expect(error).toBeInstanceOf(AppliedMessageError);
      return (error as Error).message;
    }
    return 'none';
  };

  test('is refused with every fault and where it came from', () => {
    expect(faults('{')).toMatch(/^message 7: expected a JSON message/);
    expect(faults({ ...one, target: '', appliedAt: 'yesterday' })).toMatch(/^message 7: target: .*; appliedAt: /);
    const [first] = one.changes;
    expect(faults({ ...one, changes: [{ ...first, op: 'insert' }] })).toMatch(/changes\.0\.op/);
  });

  test('is one of no changes, or of more than one message may tell of', () => {
    expect(faults({ ...one, changes: [] })).toMatch(/changes/);
    const many = Array.from({ length: maxAppliedChanges + 1 }, () => one.changes[0]);
    expect(faults({ ...one, changes: many })).toMatch(/changes/);
    expect(faults({ ...one, changes: many.slice(1) })).toBe('none');
  });

  test('is one of a whole table that names changes all the same', () => {
    expect(faults({ ...one, extent: 'table' })).toMatch(/changes: expected changes where/);
    expect(faults({ ...one, extent: 'table', changes: [] })).toBe('none');
  });

  test('is not one that does not say its extent, as older appliers do not', () => {
    const { extent: _, ...older } = one;
    expect(parseAppliedMessage(JSON.stringify(older), 'here')).toEqual(one);
  });

  test('is not one that tells more than is known of today', () => {
    expect(parseAppliedMessage(JSON.stringify({ ...one, by: 'applier-1' }), 'here')).toEqual(one);
  });
});

test('its exchange stands beside the one of the outbox, its routing key is two words whatever the table is called', () => {
  expect(appliedExchange('outbox')).toBe('outbox.applied');
  expect(appliedRoutingKey('catalog', 'products')).toBe('catalog.products');
  expect(appliedRoutingKey('catalog', 'odd.*#name')).toBe('catalog.odd%2E%2A%23name');
  expect(rowTopic('catalog', 'odd.*#name', 'delete')).toBe('catalog.odd%2E%2A%23name.delete');
  expect(appliedPattern('catalog')).toBe('catalog.*');
});
