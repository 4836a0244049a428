import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { TableSchema, TriggerSchema } from '../schema/table-schema.ts';
import { fenceTriggerName, planFence, readFenceSignature } from './fence-plan.ts';

const tableOf = (name: string, triggers: readonly TriggerSchema[] = []): TableSchema => ({
  database: 'shop',
  name,
  tableType: 'BASE TABLE',
  partitioned: false,
  storageEngine: 'InnoDB',
  columns: [],
  primaryKey: [],
  uniqueKeys: [],
  foreignKeys: [],
  referencedBy: [],
  triggers,
  rowsEstimate: 0,
});
const trigger = (
  name: string,
  timing: TriggerSchema['timing'],
  event: TriggerSchema['event'],
  body = 'SET @a = 1',
) => ({
  name,
  timing,
  event,
  body,
  sqlMode: '',
  definer: '',
});

const sliceNames = fc.stringMatching(/^[a-z][a-z0-9-]{0,63}$/);
const tableNames = fc.string({ minLength: 1, maxLength: 64 });

test('a trigger has a name of at most 64 characters, its own a slice, table and event', () => {
  fc.assert(
    fc.property(sliceNames, tableNames, sliceNames, tableNames, (slice, table, otherSlice, otherTable) => {
      const names = new Set(
        (['INSERT', 'UPDATE', 'DELETE'] as const).flatMap((event) => [
          fenceTriggerName(slice, table, event),
          fenceTriggerName(otherSlice, otherTable, event),
        ]),
      );
      for (const name of names) expect(name).toMatch(/^strangler_fence_[a-z0-9_]{1,48}$/);
      expect(names.size).toBe(slice === otherSlice && table === otherTable ? 3 : 6);
    }),
  );
});

test('a trigger tells of itself whose it is, and whether anybody has changed it', () => {
  fc.assert(
    fc.property(sliceNames, (slice) => {
      for (const { body } of planFence({ slice, table: tableOf('item') }).triggers) {
        expect(readFenceSignature(body)).toEqual({ slice, intact: true });
        expect(readFenceSignature(body.replace(`'open'`, `'closed'`))).toEqual({ slice, intact: false });
      }
    }),
  );
  expect(readFenceSignature('BEGIN\n  /* strangler-capture 1 shop 0123456789abcdef */\n END')).toBeUndefined();
});

test('the fence is asked before the first of the table’s own triggers of the same event and time', () => {
  const own = planFence({ slice: 'shop', table: tableOf('item') }).triggers[0]!;
  const table = tableOf('item', [
    trigger('after', 'AFTER', 'INSERT'),
    trigger(own.name, 'BEFORE', 'INSERT', own.body),
    trigger('fi`rst', 'BEFORE', 'INSERT'),
    trigger('second', 'BEFORE', 'INSERT'),
    trigger('later', 'AFTER', 'UPDATE'),
  ]);
  const created = planFence({ slice: 'shop', table }).triggers.map(({ createSql }) => createSql);
  expect(created[0]).toContain('FOR EACH ROW PRECEDES `fi``rst` BEGIN');
  expect(created[1]).toContain('FOR EACH ROW BEGIN');
  expect(created[2]).toContain('FOR EACH ROW BEGIN');
});
