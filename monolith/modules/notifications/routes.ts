import { idParams } from '@strangler/platform/http/id.ts';
import { decodeCursor, listFingerprint, pageOf, pageParameters } from '@strangler/platform/http/paging.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import { Router } from 'express';
import { z } from 'zod';
import { type Auth, identityOf } from '../../auth/auth.ts';
import { type LocalNotifications, notificationJson } from './notifications.ts';
import { streamPath } from './stream-server.ts';

const listQuery = z.strictObject({ ...pageParameters, only: z.enum(['all', 'unread']).default('all') });

export function notificationRoutes({ auth, notifications }: { auth: Auth; notifications: LocalNotifications }): Router {
  const router = Router();

  router.get('/api/notifications', auth.requireAccount(), async (req, res) => {
    const { accountId } = identityOf(req);
    const { limit, cursor, only } = parseQuery(listQuery, req);
    const fingerprint = listFingerprint({ list: 'notifications', only });
    const before = cursor === undefined ? undefined : decodeCursor(cursor, { fingerprint, key: z.int().min(1) });
    const [rows, unread] = await Promise.all([
      notifications.list(accountId, { limit: limit + 1, beforeId: before?.id, only }),
      notifications.unread(accountId),
    ]);
    const page = pageOf(rows, {
      limit,
      fingerprint,
      cursorOf: (row) => ({ key: row.id, id: row.id }),
      toItem: notificationJson,
    });
    res.json({ ...page, unread });
  });

  // Requests that do ask for a WebSocket never come here: they are upgraded before.
  router.get(streamPath, () => {
    throw new Problem({
      status: 426,
      detail: 'Notifications are streamed over a WebSocket: ask for an upgrade.',
      headers: { upgrade: 'websocket', connection: 'Upgrade' },
    });
  });

  router.post('/api/notifications/:id/read', auth.requireAccount(), async (req, res) => {
    const { id } = parseParams(idParams, req);
    const notification = await notifications.markRead(identityOf(req).accountId, id);
    if (!notification) throw problems.notFound(`There is no notification ${id}.`);
    res.json(notificationJson(notification));
  });

  return router;
}
