import { describe, expect, test } from '@jest/globals';
import { createLastMinute } from './last-minute.ts';
import { repeatRequest } from './repeated-request.ts';
import { createRoleOf } from './role.ts';
import { createWritesSeen, resourceOf } from './writes-seen.ts';

const bearer = (claims: object) => ({
  authorization: `Bearer e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.sig`,
});

describe('the role of whoever asks', () => {
  test('is anonymous without a token or a key of the slice; the proxy’s own cookie says nothing', () => {
    const roleOf = createRoleOf();
    const stickyBy = ['jwt.sub', 'cookie.sid', 'cookie.strangler_sid', 'header.x-user', 'ip'];
    expect(roleOf({ headers: {} }, stickyBy)).toBe('anonymous');
    expect(roleOf({ headers: { cookie: 'strangler_sid=1' } }, stickyBy)).toBe('anonymous');
    expect(roleOf({ headers: { cookie: 'sid=1' } }, stickyBy)).toBe('user');
    expect(roleOf({ headers: { 'x-user': '7' } }, stickyBy)).toBe('user');
    expect(roleOf({ headers: { authorization: 'Basic abc' } }, stickyBy)).toBe('user');
    expect(roleOf({ headers: bearer({ role: 'Admin' }) }, stickyBy)).toBe('admin');
    expect(roleOf({ headers: bearer({ role: 7 }) }, stickyBy)).toBe('user');
    expect(roleOf({ headers: bearer({ role: 'a b' }) }, stickyBy)).toBe('user');
  });

  test('is one of eight at most, whatever tokens claim', () => {
    const roleOf = createRoleOf();
    const seen = new Set(
      Array.from({ length: 100 }, (_, turn) => roleOf({ headers: bearer({ role: `r${turn}` }) }, [])),
    );
    seen.add(roleOf({ headers: {} }, []));
    expect(seen.size).toBeLessThanOrEqual(8);
    expect(seen).toContain('user');
  });
});

describe('what a write changes', () => {
  test('is the path up to the first thing that it names; a POST to a collection makes something new', () => {
    expect(resourceOf('PATCH', '/api/products/:id', '/api/products/7')).toBe('/api/products/7');
    expect(resourceOf('POST', '/api/products/:id/reviews', '/api/products/7/reviews')).toBe('/api/products/7');
    expect(resourceOf('DELETE', '/api/products/:id/reviews/:reviewId', '/api/products/7/reviews/9')).toBe(
      '/api/products/7',
    );
    expect(resourceOf('POST', '/api/products', '/api/products')).toBeNull();
    expect(resourceOf('PUT', '/api/settings', '/api/settings')).toBe('/api/settings');
  });

  test('was written by others where another write was under way, or was over within the time', async () => {
    let now = 0;
    const writes = createWritesSeen({ maxResources: 2, nowMs: () => now, redis: null });
    const first = writes.begin('catalog', '/7');
    expect(await first.othersWrote()).toBe(false);
    now = 10;
    const second = writes.begin('catalog', '/7');
    expect(await second.othersWrote()).toBe(true);
    expect(await first.othersWrote()).toBe(true);
    first.end();
    now = 9_000;
    // The second took its time; what counts is when it was over.
    second.end();
    now = 13_900;
    const third = writes.begin('catalog', '/7');
    expect(await third.othersWrote()).toBe(true);
    third.end();
    now = 19_000;
    expect(await writes.begin('catalog', '/7').othersWrote()).toBe(false);
    for (let turn = 0; turn < 50; turn += 1) writes.begin('catalog', `/${turn}`).end();
    expect(writes.size()).toBeLessThanOrEqual(2);
  });
});

describe('a repeated request', () => {
  test('says who sends it, and that it is a copy; framing and what the first was told stay behind', () => {
    const headers = {
      Host: 'shop.test',
      Authorization: 'Bearer abc',
      Cookie: 'sid=1',
      'Transfer-Encoding': 'chunked',
      Connection: 'keep-alive, TE',
      TE: 'trailers',
      'x-strangler-epoch': '3',
      'x-strangler-tell-effects': '1',
    };
    const request = repeatRequest(
      { method: 'POST', target: '/a?b', headers, body: { kind: 'chunked' } as never },
      Buffer.from('hello'),
      { 'x-strangler-dry-run': '1' },
    );
    expect(request).toEqual({
      method: 'POST',
      target: '/a?b',
      headers: {
        Host: 'shop.test',
        Authorization: 'Bearer abc',
        Cookie: 'sid=1',
        'Content-Length': '5',
        'x-strangler-shadow': '1',
        'x-strangler-dry-run': '1',
      },
      body: Buffer.from('hello'),
    });
  });
});

describe('the last minute', () => {
  test('is sixty seconds and no more, slice by slice', () => {
    let now = 0;
    const minute = createLastMinute(['catalog', 'orders'], () => now);
    minute.found('catalog', 'same');
    minute.dropped('catalog', 'busy');
    now = 50_000;
    minute.found('catalog', 'same');
    expect(minute.status()).toEqual([
      { slice: 'catalog', outcomes: { same: 2 }, dropped: { busy: 1 } },
      { slice: 'orders', outcomes: {}, dropped: {} },
    ]);
    now = 62_000;
    expect(minute.status()[0]).toEqual({ slice: 'catalog', outcomes: { same: 1 }, dropped: {} });
    now = 10 * 60_000;
    expect(minute.status()[0]).toEqual({ slice: 'catalog', outcomes: {}, dropped: {} });
  });
});
