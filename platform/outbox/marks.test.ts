import { describe, expect, test } from '@jest/globals';
import { markHeader, messageOf } from './message.ts';
import { EventError, record } from './record.ts';

const event = {
  slice: 'shop',
  type: 'thing.changed',
  schemaVersion: 1,
  aggregate: 'thing',
  key: 'k',
  data: {},
};

/** What an event's outbox row becomes on the wire. */
async function sent(marks?: Record<string, string>) {
  let headers = '';
  await record({ ...event, ...(marks === undefined ? {} : { marks }) }, async (_sql, values) => {
    headers = String(values.at(-1));
  });
  const row = { id: '7', part: 3, kind: 'event' as const, epoch: 1, topic: 'shop.thing.changed', subject: 'thing' };
  return messageOf(
    { ...row, subjectKey: 'k', op: 'changed', payload: '{}', headers, at: '2024-01-01T00:00:00.000000Z' },
    'u',
  );
}

describe('the marks of an event', () => {
  test('are headers of its message, and there are none where none were set', async () => {
    const marked = (await sent({ mails: 'service/3' })).properties.headers as Record<string, unknown>;
    expect(marked[markHeader('mails')]).toBe('service/3');
    const plain = (await sent()).properties.headers as Record<string, unknown>;
    expect(Object.keys(plain).filter((name) => name.includes('mark'))).toEqual([]);
  });

  test('are refused where a header could not carry them', async () => {
    const bad: Record<string, string>[] = [
      { 'a b': 'x' },
      { mails: '' },
      { mails: 'two words' },
      { mails: 'x'.repeat(101) },
    ];
    for (const marks of bad) {
      await expect(sent(marks)).rejects.toThrow(EventError);
    }
  });
});
