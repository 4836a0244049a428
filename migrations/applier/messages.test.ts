import { describe, expect, test } from '@jest/globals';
import { maxAppliedChanges } from '@strangler/platform/contracts/applied-message.ts';
import { formatRowMessage, type RowMessage } from '@strangler/platform/contracts/row-message.ts';
import { CommitOutcomeUnknown } from '@strangler/platform/mysql/transaction.ts';
import { FloorGone } from '../engine/apply/applier.ts';
import { ParkingFull } from '../engine/apply/parked.ts';
import { messagesOf } from './announce.ts';
import { applierConfig } from './config.ts';
import { applyFaultOf, Hindrance } from './faults.ts';
import { announcementsOf, isTold, readMessage } from './told-changes.ts';

const change = (table: string, id: string): RowMessage => ({
  slice: 'shop',
  table,
  op: 'upsert',
  key: { id },
  keyText: id,
  image: { id, secret: 's' },
  version: { epoch: 1, id },
  at: '2026-11-21T08:45:42.000001Z',
  writer: { user: 'u@h' },
});

describe('an announcement', () => {
  test('is of one table, of so many changes at most, and holds neither images nor writers', () => {
    const many = Array.from({ length: maxAppliedChanges + 1 }, (_, at) => change('goods', String(at + 1)));
    const announcements = announcementsOf([...many, change('notes', '7')], new Map([['goods', 'items']]));
    const messages = messagesOf('shop', announcements, new Date('2026-11-21T09:00:00Z'));
    expect(messages.map(({ table, target, changes }) => [table, target, changes.length])).toEqual([
      ['goods', 'items', maxAppliedChanges],
      ['goods', 'items', 1],
      ['notes', 'notes', 1],
    ]);
    expect(messages[2]).toEqual({
      slice: 'shop',
      table: 'notes',
      target: 'notes',
      appliedAt: '2026-11-21T09:00:00.000Z',
      extent: 'changes',
      changes: [
        {
          key: { id: '7' },
          keyText: '7',
          op: 'upsert',
          version: { epoch: 1, id: '7' },
          at: '2026-11-21T08:45:42.000001Z',
        },
      ],
    });
    expect(messagesOf('shop', announcementsOf([], new Map()), new Date())).toEqual([]);
  });

  test('tells of changes, and not of rows that were only copied', () => {
    const { at: _at, ...copied } = change('goods', '1');
    expect(isTold(change('goods', '1'))).toBe(true);
    expect(isTold(copied)).toBe(false);
  });
});

describe('a delivery', () => {
  const delivery = (body: string) => ({ messageId: 'uuid/7', body: Buffer.from(body) });

  test('is read as the change it is of', () => {
    const message = change('goods', '7');
    expect(readMessage(delivery(formatRowMessage(message)), 'shop')).toEqual({ kind: 'row', message });
  });

  test('that can never be one of the slice is poison, and says why', () => {
    const poison = (body: string, slice = 'shop') => readMessage(delivery(body), slice);
    expect(poison('{')).toEqual({ kind: 'poison', reason: expect.stringMatching(/^message uuid\/7: expected JSON/) });
    expect(poison('{}')).toMatchObject({ kind: 'poison', reason: expect.stringMatching(/slice.*table.*op/) });
    expect(poison(formatRowMessage(change('goods', '7')), 'catalog')).toEqual({
      kind: 'poison',
      reason: 'message uuid/7: expected the slice catalog, found shop',
    });
  });
});

test('what fails is waited for, tried apart from others, or begun anew with', () => {
  const sql = (errno: number, code = 'ER') => Object.assign(new Error('e'), { errno, code, sqlState: 'HY000' });
  const verdict = (error: unknown) => {
    const { cause, remedy } = applyFaultOf(error);
    return `${cause}: ${remedy}`;
  };
  expect(verdict(sql(1213))).toBe('locks: wait');
  expect(verdict(sql(1205))).toBe('locks: wait');
  expect(verdict(sql(-111, 'ECONNREFUSED'))).toBe('target: wait');
  expect(verdict(sql(1142))).toBe('target: wait');
  expect(verdict(new CommitOutcomeUnknown(new Error('lost')))).toBe('target: wait');
  expect(verdict(new ParkingFull('t', 1, 'u'))).toBe('parking: alone');
  expect(verdict(sql(1054))).toBe('mapping: anew');
  expect(verdict(sql(1146))).toBe('mapping: anew');
  expect(verdict(new FloorGone('f'))).toBe('floor: anew');
  expect(verdict(new Hindrance('target', 'no answer'))).toBe('target: anew');
  expect(verdict(new Hindrance('announcement', 'full'))).toBe('announcement: wait');
  expect(verdict(sql(9_999))).toBe('other: alone');
  expect(verdict('text')).toBe('other: alone');
});

describe('the environment', () => {
  const env = {
    SLICE: 'catalog',
    STRANGLER_SLICES: '/slices',
    STRANGLER_SOURCE: 'mysql://u:p@127.0.0.1:3306/shop',
    STRANGLER_TARGET: 'mysql://u:p@127.0.0.1:3306/catalog',
    STRANGLER_FLAGS: 'consul://127.0.0.1:8500',
    RABBITMQ_URL: 'amqp://127.0.0.1',
  };

  test('has defaults for what is not the matter of one installation', () => {
    expect(applierConfig(env)).toMatchObject({
      port: 3960,
      host: '127.0.0.1',
      exchange: 'outbox',
      dataDirectory: undefined,
    });
  });

  test('is refused with every bad variable named, and no password', () => {
    const bad = { ...env, SLICE: 'A b', STRANGLER_SOURCE: 'http://u:hidden@x', RABBITMQ_URL: '', DRAIN_GRACE: 'soon' };
    const refuse = () => applierConfig(bad);
    expect(refuse).toThrow(/SLICE: [\s\S]*STRANGLER_SOURCE: [\s\S]*RABBITMQ_URL: [\s\S]*DRAIN_GRACE: /);
    expect(refuse).not.toThrow(/hidden/);
  });
});
