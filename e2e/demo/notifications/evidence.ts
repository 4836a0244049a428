import type { Pool, RowDataPacket } from 'mysql2/promise';
import { request } from 'undici';
import type { Happening } from './account-for.ts';

/** What the shop has told of these accounts' orders and payments, from its own outbox: event by event. */
export const toldByTheShop = async (monolith: Pool, accountIds: readonly number[]): Promise<Happening[]> => {
  const [rows] = await monolith.query<RowDataPacket[]>(
    `SELECT topic, payload FROM strangler_outbox WHERE kind = 'event' AND subject = 'order' ORDER BY id`,
  );
  const wanted = new Set(accountIds);
  return rows
    .map(({ topic, payload }): Happening => {
      const { account_id: accountId, order_id: orderId } = JSON.parse(payload).data;
      return { accountId, orderId, kind: `${topic}`.replace(/^shop\./, '').replace('.', '_') };
    })
    .filter(({ accountId }) => wanted.has(accountId));
};

/** The rows that a side has written down. */
export const writtenDown = async (
  side: Pool,
  accountIds: readonly number[],
  where = '1 = 1',
): Promise<(Happening & { id: number })[]> => {
  const [rows] = await side.query<RowDataPacket[]>(
    `SELECT id, account_id AS accountId, order_id AS orderId, kind FROM notifications WHERE account_id IN (?) AND ${where}`,
    [accountIds],
  );
  return rows as (Happening & { id: number })[];
};

/** What the customer is shown, page after page, through the proxy. */
export const shown = async (proxyUrl: string, accountId: number, accessToken: string): Promise<Happening[]> => {
  const found: Happening[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const answer = await request(`${proxyUrl}/api/notifications?limit=100${query}`, {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    const page = (await answer.body.json()) as {
      items: { order_id: number; kind: string }[];
      next_cursor: string | null;
    };
    if (answer.statusCode !== 200) throw new Error(`the notifications of account ${accountId}: ${answer.statusCode}`);
    found.push(...page.items.map(({ order_id: orderId, kind }) => ({ accountId, orderId, kind })));
    cursor = page.next_cursor;
  }
  return found;
};

export type MailEvidence = {
  /** Notifications that the service delivers, that were not read before, and that no mail tells of. */
  missing: number;
  /** Of those, the ones whose job says that a person has to look, because nobody knows whether they were sent. */
  givenUp: number;
  /** Mails beyond the first of a notification, and how many of them the service has counted as doubtful itself. */
  copies: number;
  doubtful: number;
  /** Mails of notifications that the shop told. */
  uncalledFor: number;
};

/** Compares the mailbox with what the service delivers; `open` jobs are not over yet. */
export const mailsOf = async (
  mailboxUrl: string,
  service: Pool,
): Promise<MailEvidence & { open: number; mails: number }> => {
  const answer = await request(`${mailboxUrl}/mails`);
  const { items } = (await answer.body.json()) as { items: { message_id: string }[] };
  const copies = new Map<number, number>();
  for (const { message_id } of items) {
    const id = Number(/notification-(\d+)@/.exec(message_id)?.[1]);
    copies.set(id, (copies.get(id) ?? 0) + 1);
  }
  const [rows] = await service.query<RowDataPacket[]>(
    `SELECT n.id, n.delivered_by AS side, COALESCE(j.state, 'none') AS state, j.result, COALESCE(j.doubtful, 0) AS doubtful
       FROM notifications n LEFT JOIN jobs j ON j.notification_id = n.id AND j.kind = 'email'`,
  );
  const delivered = rows.filter(({ side }) => side === 'service');
  const unsent = delivered.filter(({ id, result }) => !copies.has(id) && result !== 'read before');
  return {
    mails: items.length,
    open: delivered.filter(({ state }) => state === 'pending' || state === 'running').length,
    missing: unsent.length,
    givenUp: unsent.filter(({ state, doubtful }) => state === 'failed' && doubtful > 0).length,
    copies: [...copies.values()].reduce((sum, n) => sum + n - 1, 0),
    doubtful: rows.reduce((sum, { doubtful }) => sum + Number(doubtful), 0),
    uncalledFor: rows.filter(({ id, side }) => side === 'monolith' && copies.has(id)).length,
  };
};
