import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { dryRunMediaType, parseDryRunAnswer } from '@strangler/platform/contracts/dry-run.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { startTestFlags, type TestFlags } from '@strangler/platform/ownership/ownership.fixture.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { startTestService, type TestService } from '../testing/notifications.ts';
import { shopEvents as events, leftToService as mark } from '../testing/shop-events.ts';

let flags: TestFlags;
let service: TestService;
let lastAccount = 100;
let account: number;
let token: string;

const setEpoch = (epoch: number) =>
  changeFlag(
    flags.store,
    'notifications',
    (document) => ({
      ...document,
      epoch,
      stage: 'writes',
      reads: { percent: 100, cohorts: [] },
      writes: { owner: 'service' },
    }),
    { by: 'test', reason: 'test' },
  );

beforeAll(async () => {
  flags = await startTestFlags();
  await setEpoch(3);
  // No workers: what is delivered is not of interest here.
  service = await startTestService('notifications', { STRANGLER_FLAGS: flags.address, WORKERS: 'none' });
});
afterAll(async () => {
  await service?.stop();
  await flags?.stop();
});
beforeEach(async () => {
  lastAccount += 1;
  account = lastAccount;
  token = await service.issuer.token(account);
});

const list = (query = '') => service.send('GET', `/api/notifications${query}`, { token });

/** So many notifications of the account, all of one order, which keeps them in order; returns their ids, newest first. */
async function notified(count: number): Promise<number[]> {
  for (let n = 0; n < count; n += 1) await service.tell(events.order('shipped', account * 100, account, { mark }));
  const { body } = await eventually(async () => {
    const answer = await list('?limit=100');
    return answer.body.items.length === count && answer;
  });
  return body.items.map((item: { id: number }) => item.id);
}

describe('notifications', () => {
  test('are listed newest first, page by page, with the number of unread ones, as the shop shows them', async () => {
    const ids = await notified(5);
    const one = await list('?limit=3');
    const two = await list(`?limit=3&cursor=${one.body.next_cursor}`);
    expect([...one.body.items, ...two.body.items].map((item) => item.id)).toEqual(ids);
    expect([one.body.unread, two.body.next_cursor]).toEqual([5, null]);
    expect(one.body.items[0]).toEqual({
      id: ids[0],
      kind: 'order_shipped',
      order_id: account * 100,
      title: `Order ${account * 100} was shipped`,
      body: `Your order ${account * 100} is on its way.`,
      created_at: '2026-01-02T03:04:05.678Z',
      read_at: null,
    });
    expect((await list(`?only=unread&cursor=${one.body.next_cursor}`)).status).toBe(400);
  });

  test('have ids that no notification of the shop has', async () => {
    const [id] = await notified(1);
    expect(id).toBeGreaterThanOrEqual(1_000_000_000_000);
    expect(Number.isSafeInteger(id)).toBe(true);
  });

  test('are marked as read once, also by ten requests at once', async () => {
    const [id] = await notified(2);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => service.send('POST', `/api/notifications/${id}/read`, { token })),
    );
    const times = answers.map((answer) => answer.body.read_at);
    expect(times[0]).not.toBeNull();
    expect(new Set(times).size).toBe(1);
    const left = await list('?only=unread');
    expect([left.body.items.length, left.body.unread]).toEqual([1, 1]);
  });

  test('of others are not there', async () => {
    const [id] = await notified(1);
    const other = await service.issuer.token(999_999);
    expect((await service.send('POST', `/api/notifications/${id}/read`, { token: other })).status).toBe(404);
    expect((await service.send('GET', '/api/notifications', { token: other })).body.items).toEqual([]);
    expect((await service.send('GET', '/api/notifications')).status).toBe(401);
    expect((await service.send('POST', `/api/notifications/${id}/read`)).status).toBe(401);
    expect((await service.send('POST', '/api/notifications/x/read', { token })).status).toBe(400);
  });

  test('that the shop delivers are listed too, with nothing to be done for them', async () => {
    await service.tell(events.placed(account, account));
    await service.tell(events.placed(account + 10_000, account, { mark: 'monolith/2' }));
    await eventually(async () => (await list()).body.unread === 2);
    const [rows] = await service.pool.query('SELECT id FROM jobs WHERE account_id = ?', [account]);
    expect(rows).toEqual([]);
  });
});

describe('a dry run of marking as read', () => {
  test('answers what the request would have, and leaves nothing', async () => {
    const [id] = await notified(1);
    const path = `/api/notifications/${id}/read`;
    const dry = { token, headers: { 'x-strangler-dry-run': '1' } };
    const sent = await service.send('POST', path, dry);
    expect(sent.headers.get('content-type')).toBe(dryRunMediaType);
    const answer = parseDryRunAnswer(sent.text)!.answer;
    expect(answer.status).toBe(200);
    expect(JSON.parse(Buffer.from(answer.bodyBase64, 'base64').toString()).read_at).not.toBeNull();
    expect((await list()).body).toMatchObject({ unread: 1, items: [{ id, read_at: null }] });
  });

  test('of what cannot be undone is refused', async () => {
    const admin = await service.issuer.token(1, 'admin');
    const headers = { 'x-strangler-dry-run': '1' };
    for (const [method, path, body] of [
      ['PATCH', '/internal/settings', { email: 'paused' }],
      ['POST', '/api/notifications/jobs/email-1/retry', undefined],
      ['PUT', '/api/notifications/preferences', { locale: 'de', email: 'none' }],
    ] as const) {
      expect((await service.send(method, path, { token: admin, headers, body })).status).toBe(501);
    }
  });
});

test('a write under an epoch that is over is refused with nothing done, and the health tells whose the writes are', async () => {
  const [id] = await notified(1);
  const read = (epoch: string) =>
    service.send('POST', `/api/notifications/${id}/read`, { token, headers: { 'x-strangler-epoch': epoch } });
  const stale = await read('2');
  expect([stale.status, stale.headers.get('x-strangler-stale-epoch')]).toEqual([409, '3']);
  expect((await list()).body.unread).toBe(1);
  expect((await read('3')).status).toBe(200);
  const { body } = await service.send('GET', '/health/ready');
  expect(body.checks).toMatchObject({
    ownership: 'ok: writes of notifications are the service’s under epoch 3',
    delivery: 'ok: mode shadow for unmarked events',
  });
});

test('account events keep the name to write to, whichever of two ways brought it last', async () => {
  const stored = () => service.pool.query('SELECT email, display_name FROM told_accounts WHERE id = ?', [account]);
  await service.tell(events.registered(account));
  await service.tell(events.renamed(account, 'Renamed'));
  await eventually(async () => {
    const [rows] = await stored();
    expect(rows).toEqual([{ email: `customer-${account}@example.com`, display_name: 'Renamed' }]);
  });
});
