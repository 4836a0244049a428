import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createFeed, eventText } from './feed.ts';

describe('a feed', () => {
  test('gives whoever comes back all that was missed in order, or says that it cannot', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(60), fc.nat(60), (maxEvents, before, after) => {
        const feed = createFeed({ maxEvents, maxBytes: 1_000_000 });
        for (let n = 0; n < before; n += 1) feed.publish('slice', n);
        const seen = feed.lastId();
        for (let n = 0; n < after; n += 1) feed.publish('slice', before + n);
        const missed = feed.since(seen)?.map(({ json }) => Number(json)) ?? null;
        if (after > maxEvents) expect(missed).toBeNull();
        else expect(missed).toEqual(Array.from({ length: after }, (_, n) => before + n));
      }),
    );
  });

  test('keeps no more bytes than it may, and still tells the newest to those who listen', () => {
    const feed = createFeed({ maxEvents: 1_000, maxBytes: 100 });
    const heard: string[] = [];
    const stop = feed.subscribe(({ json }) => heard.push(json));
    const start = feed.lastId();
    feed.publish('slice', 'x'.repeat(300));
    expect(feed.since(start)).toBeNull();
    expect(feed.since(feed.lastId())).toEqual([]);
    stop();
    feed.publish('slice', 'unheard');
    expect(heard).toEqual([JSON.stringify('x'.repeat(300))]);
    expect(feed.listeners()).toBe(0);
  });

  test.each(['', 'nonsense', 'life:', 'life:-1', 'life:1.5', 'life:99', 'other:1', ':1'])(
    'knows the id %j for none of its own',
    (id) => {
      const feed = createFeed({ maxEvents: 10, maxBytes: 1_000 }, 'life');
      feed.publish('slice', 1);
      expect(feed.since(id)).toBeNull();
    },
  );

  test('puts an event on one line of data, whatever is in it', () => {
    const text = eventText({ id: 'a:1', kind: 'slice', json: JSON.stringify('two\nlines\r') });
    expect(text.split('\n')).toHaveLength(5);
    expect(text.endsWith('\n\n')).toBe(true);
  });
});
