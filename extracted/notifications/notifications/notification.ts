import type { NotificationKind } from './wording.ts';

/** A row of `notifications`, as far as it is shown. */
export type Notification = {
  id: number;
  account_id: number;
  kind: NotificationKind;
  order_id: number | null;
  title: string;
  body: string;
  created_at: Date;
  read_at: Date | null;
};

export const notificationColumns = 'id, account_id, kind, order_id, title, body, created_at, read_at';

/** A notification as the API shows it: to the letter as the shop does. */
export function notificationJson(row: Notification) {
  return {
    id: row.id,
    kind: row.kind,
    order_id: row.order_id,
    title: row.title,
    body: row.body,
    created_at: row.created_at.toISOString(),
    read_at: row.read_at?.toISOString() ?? null,
  };
}
