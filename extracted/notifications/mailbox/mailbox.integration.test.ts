import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createSmtpSender } from '../mail/smtp-sender.ts';
import { mailboxConfig } from './config.ts';
import type { Fault } from './fault.ts';
import { type RunningMailbox, startMailbox } from './start.ts';

let box: RunningMailbox;
const from = { name: 'Näme, "quoted"', address: 'shop@example.com' };
const message = {
  messageId: '<notification-1@example.com>',
  to: { name: 'Zoë', address: 'zoe@example.com' },
  subject: 'Grüße\r\nBcc: other@example.com',
  text: '.\nA line with a dot before.\n',
  attachments: [{ filename: 'a.pdf', contentType: 'application/pdf', content: Buffer.from([0, 255, 10, 13, 46]) }],
};

beforeAll(async () => {
  const log = createLog({ name: 'mailbox', level: 'silent' });
  box = await startMailbox({ config: mailboxConfig({ PORT: '0', SMTP_PORT: '0' }), log });
});
afterAll(() => box?.lifecycle.stop('test'));

const sender = () =>
  createSmtpSender({
    ...{ host: '127.0.0.1', port: Number(new URL(box.smtpUrl).port), user: undefined, password: undefined },
    timeoutMs: 400,
  });
const ask = async (method: string, path: string, body?: unknown) => {
  const answer = await fetch(`${box.server.url}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) : text };
};
const wrong = (fault: Partial<Fault>) => ask('PUT', '/fault', fault);

describe('the mailbox', () => {
  test('shows what was sent, byte for byte, and forgets it when told', async () => {
    await sender().send(message, from);
    const { body } = await ask('GET', '/mails?to=zoe@example.com');
    expect(body.items).toMatchObject([
      {
        message_id: '<notification-1@example.com>',
        to: ['zoe@example.com'],
        attachments: [{ filename: 'a.pdf', content_type: 'application/pdf', bytes: 5 }],
      },
    ]);
    const [mail] = body.items;
    // A line break in what becomes a header must not begin another header.
    expect(mail.subject).toMatch(/^Grüße\s*Bcc: other@example.com$/);
    expect(mail.text.trim()).toBe(message.text.trim());
    expect(mail.from).toContain('shop@example.com');
    const attachment = await fetch(`${box.server.url}/mails/${mail.id}/attachments/0`);
    expect(Buffer.from(await attachment.arrayBuffer())).toEqual(message.attachments[0]!.content);
    expect((await ask('GET', '/mails?to=other@example.com')).body.items).toEqual([]);
    expect((await ask('DELETE', `/mails/${mail.id}`)).status).toBe(204);
    expect((await ask('GET', `/mails/${mail.id}`)).status).toBe(404);
    expect((await ask('DELETE', '/mails')).body).toEqual({ removed: 0 });
  });

  test('is wrong as asked, so often as asked, and the sender knows what that means', async () => {
    const failures: [Partial<Fault>, string, number][] = [
      [{ mode: 'refuse-now', times: 1 }, 'for now', 0],
      [{ mode: 'refuse-for-good', times: 1 }, 'for good', 0],
      [{ mode: 'hang', times: 1 }, 'unknown', 0],
      [{ mode: 'lose-answer', times: 1 }, 'unknown', 1],
      [{ mode: 'slow', times: 1, delay_ms: 600 }, 'unknown', 0],
    ];
    for (const [fault, failure, kept] of failures) {
      await ask('DELETE', '/mails');
      expect((await wrong(fault)).status).toBe(200);
      await expect(sender().send(message, from)).rejects.toMatchObject({ failure });
      expect({ fault, kept: box.mailbox.list().length }).toEqual({ fault, kept });
      expect((await ask('GET', '/fault')).body.mode).toBe('none');
    }
    await wrong({ mode: 'slow', times: 1, delay_ms: 30 });
    await sender().send(message, from);
    expect((await wrong({ mode: 'nonsense' as 'slow' })).status).toBe(400);
  });

  test('that is not there has taken nothing', async () => {
    const nobody = createSmtpSender({
      host: '127.0.0.1',
      port: 1,
      user: undefined,
      password: undefined,
      timeoutMs: 400,
    });
    await expect(nobody.send(message, from)).rejects.toMatchObject({ failure: 'for now' });
  });
});
