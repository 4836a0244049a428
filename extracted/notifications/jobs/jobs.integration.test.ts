import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { startTestService, type TestService } from '../testing/notifications.ts';
import { shopEvents as events, leftToService as mark } from '../testing/shop-events.ts';

let service: TestService;
let admin: string;
let lastAccount = 500;
let account: number;
let order: number;
let token: string;

beforeAll(async () => {
  service = await startTestService('jobs', {
    JOB_ATTEMPTS: '4',
    SMTP_TIMEOUT: '400ms',
    SWEEP_EVERY: '200ms',
    LOST_AFTER: '1s',
  });
  admin = await service.issuer.token(1, 'admin');
});
afterAll(() => service?.stop());
beforeEach(async () => {
  lastAccount += 1;
  account = lastAccount;
  order = account * 10;
  token = await service.issuer.token(account);
  service.mail.mailbox.setFault({ mode: 'none', delay_ms: 1 });
  service.mail.mailbox.clear();
  await service.tell(events.registered(account));
});

const mails = (of = account) => service.mail.mailbox.list(`customer-${of}@example.com`);
const job = async (id: string) => (await service.send('GET', `/api/notifications/jobs/${id}`, { token: admin })).body;

/** The id of the account's newest notification, as soon as there is one. */
const newestId = () =>
  eventually(async () => {
    const { body } = await service.send('GET', '/api/notifications', { token });
    return (body.items[0]?.id ?? 0) as number;
  });

describe('the mail of a notification', () => {
  test('is sent once, to the address and name that the account’s event told, under the set sender', async () => {
    await service.tell(events.placed(order, account, { mark }));
    const [mail] = await eventually(() => mails().length === 1 && mails());
    expect(mail).toMatchObject({
      subject: `Order ${order} was placed`,
      from: 'The shop <no-reply@shop.example>',
      text: expect.stringContaining(`Hello Customer ${account},`),
    });
    const id = await newestId();
    expect(mail?.messageId).toBe(`<notification-${id}@shop.example>`);
    const done = await eventually(async () => {
      const found = await job(`email-${id}`);
      return found.state === 'done' && found;
    });
    expect(done).toMatchObject({ kind: 'email', attempts: 1, progress: 100, result: 'sent', account_id: account });
    const own = await service.send('GET', `/api/notifications/jobs/email-${id}`, { token });
    expect(own.body).toEqual(done);
    const other = await service.issuer.token(999);
    expect((await service.send('GET', `/api/notifications/jobs/email-${id}`, { token: other })).status).toBe(404);
  });

  test('of settled money comes with the invoice, which only its account can have', async () => {
    await service.tell(events.placed(order, account));
    await service.tell(events.payment('settled', order, account, { mark }));
    const [mail] = await eventually(() => mails().length === 1 && mails());
    expect(mail?.attachments).toMatchObject([{ filename: `invoice-${order}.pdf`, contentType: 'application/pdf' }]);
    expect(mail?.attachments[0]?.content.subarray(0, 5).toString()).toBe('%PDF-');
    const path = `/api/notifications/invoices/${order}`;
    const pdf = await fetch(`${service.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
    expect(Buffer.from(await pdf.arrayBuffer()).equals(mail!.attachments[0]!.content)).toBe(true);
    const other = await service.issuer.token(999);
    expect((await service.send('GET', path, { token: other })).status).toBe(404);
    expect(await job(`invoice-${order}`)).toMatchObject({ state: 'done', result: 'made' });
  });

  test('is in the language that the account prefers, and not sent where it prefers none', async () => {
    const prefer = (body: object) => service.send('PUT', '/api/notifications/preferences', { token, body });
    await prefer({ locale: 'de', email: 'each' });
    await service.tell(events.placed(order, account, { mark }));
    const [mail] = await eventually(() => mails().length === 1 && mails());
    expect(mail?.text).toContain(`Guten Tag Customer ${account},`);
    await prefer({ locale: 'de', email: 'none' });
    const event = await service.tell(events.order('shipped', order, account, { mark }));
    await eventually(
      async () =>
        (await newestId()) > 0 && (await service.send('GET', '/api/notifications', { token })).body.items.length === 2,
    );
    const [rows] = await service.pool.query(
      'SELECT j.id FROM jobs j JOIN notifications n ON n.id = j.notification_id WHERE n.event_id = ?',
      [event],
    );
    expect(rows).toEqual([]);
  });

  test('that the server refuses for now is tried again, and is sent once in the end', async () => {
    service.mail.mailbox.setFault({ mode: 'refuse-now', times: 2, delay_ms: 1 });
    await service.tell(events.placed(order, account, { mark }));
    await eventually(() => mails().length === 1);
    const id = await newestId();
    const done = await eventually(async () => {
      const found = await job(`email-${id}`);
      return found.state === 'done' && found;
    });
    expect([done.attempts, done.doubtful, mails().length]).toEqual([3, 0, 1]);
  });

  test('that the server refuses for good has failed, and is sent when an administrator has it tried again', async () => {
    service.mail.mailbox.setFault({ mode: 'refuse-for-good', delay_ms: 1 });
    await service.tell(events.payment('failed', order, account, { mark }));
    const id = await newestId();
    const failed = await eventually(async () => {
      const found = await job(`email-${id}`);
      return found.state === 'failed' && found;
    });
    expect(failed).toMatchObject({ attempts: 1, priority: 1, error: expect.stringMatching(/550/) });
    const listed = await service.send('GET', '/api/notifications/jobs?state=failed', { token: admin });
    expect(listed.body.items.map((item: { id: string }) => item.id)).toContain(`email-${id}`);
    expect((await service.send('GET', '/api/notifications/jobs', { token })).status).toBe(403);

    service.mail.mailbox.setFault({ mode: 'none', delay_ms: 1 });
    const retry = () => service.send('POST', `/api/notifications/jobs/email-${id}/retry`, { token: admin });
    expect((await retry()).status).toBe(202);
    await eventually(() => mails().length === 1);
    await eventually(async () => (await job(`email-${id}`)).state === 'done');
    expect((await retry()).status).toBe(409);
  });

  test('whose answer was lost is sent at most once more, under the same message id, and then waits for a person', async () => {
    service.mail.mailbox.setFault({ mode: 'lose-answer', delay_ms: 1 });
    await service.tell(events.placed(order, account, { mark }));
    const id = await newestId();
    const failed = await eventually(async () => {
      const found = await job(`email-${id}`);
      return found.state === 'failed' && found;
    });
    expect(failed.doubtful).toBe(2);
    expect(mails().length).toBe(2);
    expect(new Set(mails().map((mail) => mail.messageId)).size).toBe(1);
  });

  test('is tried again where the server hangs, and nothing was taken', async () => {
    service.mail.mailbox.setFault({ mode: 'hang', times: 1, delay_ms: 1 });
    await service.tell(events.placed(order, account, { mark }));
    await eventually(() => mails().length === 1);
    const id = await newestId();
    await eventually(async () => (await job(`email-${id}`)).state === 'done');
    expect(mails().length).toBe(1);
  });

  test('that Redis has lost is found in the database and sent', async () => {
    // As if its publication had not come: the row is there and nobody has been told.
    await service.pool.query(
      `INSERT INTO notifications (account_id, kind, order_id, title, body, created_at, delivered_by, event_id, event_epoch, event_position, marked)
       VALUES (?, 'order_placed', ?, 'Lost', 'Lost', NOW(3), 'service', ?, 1, 1, 1)`,
      [account, order, `lost-${account}`],
    );
    const [[row]] = (await service.pool.query('SELECT MAX(id) AS id FROM notifications')) as unknown as [
      [{ id: number }],
    ];
    await service.pool.query(
      `INSERT INTO jobs (id, kind, account_id, notification_id, state, priority, run_at, created_at)
       VALUES (?, 'email', ?, ?, 'pending', 5, NOW(3) - INTERVAL 1 MINUTE, NOW(3))`,
      [`email-${row.id}`, account, row.id],
    );
    await eventually(() => mails().length === 1);
  });
});

test('a paused channel sends nothing, on every instance, until it is on again', async () => {
  const second = await service.another();
  const set = (body: object) => service.send('PATCH', '/internal/settings', { token: admin, body });
  await set({ email: 'paused', sender_name: 'Another name' });
  await service.tell(events.placed(order, account, { mark }));
  const id = await newestId();
  expect((await second.send('GET', '/internal/settings', { token: admin })).body.email).toBe('paused');
  // It rests in RabbitMQ, or is put off in Redis where it had come so far already.
  const witness = await service.rabbit.channel();
  await eventually(async () => (await witness.checkQueue(`${service.prefix}.deliveries.rest`)).messageCount > 0);
  await witness.close();
  expect([mails().length, (await job(`email-${id}`)).state]).toEqual([0, 'pending']);
  await set({ email: 'on' });
  const [mail] = await eventually(() => mails().length === 1 && mails());
  expect(mail?.from).toBe('Another name <no-reply@shop.example>');
  await second.lifecycle.stop('test');
});

test('the digest of a day is one mail about all that is unread, however often it is asked for', async () => {
  await service.send('PUT', '/api/notifications/preferences', { token, body: { locale: 'en', email: 'digest' } });
  await service.tell(events.placed(order, account, { mark }));
  await service.tell(events.order('shipped', order, account, { mark }));
  await eventually(async () => (await service.send('GET', '/api/notifications', { token })).body.unread === 2);
  const ask = () => service.send('POST', '/internal/digests', { token: admin, body: { day: '2026-02-03' } });
  expect((await ask()).status).toBe(202);
  expect((await ask()).status).toBe(202);
  const [mail] = await eventually(() => mails().length > 0 && mails());
  expect(mail).toMatchObject({
    subject: '2 unread notifications',
    messageId: `<digest-2026-02-03-${account}@shop.example>`,
    text: expect.stringContaining(`Order ${order} was shipped`),
  });
  await eventually(async () => (await job(`digest-2026-02-03-${account}`)).state === 'done');
  expect((await ask()).status).toBe(202);
  const witness = await service.rabbit.channel();
  await eventually(async () => (await witness.checkQueue(`${service.prefix}.commands.digest`)).messageCount === 0);
  await witness.close();
  expect(mails().length).toBe(1);
});
