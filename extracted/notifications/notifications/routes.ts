import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { decodeCursor, listFingerprint, pageOf, pageParameters } from '@strangler/platform/http/paging.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import { z } from 'zod';
import { streamPath } from '../stream/stream-server.ts';
import { notificationJson } from './notification.ts';
import type { Notifications } from './notifications.ts';

const listQuery = z.strictObject({ ...pageParameters, only: z.enum(['all', 'unread']).default('all') });

export function addNotificationRoutes(
  routes: Router,
  { auth, notifications }: { auth: Auth; notifications: Notifications },
): void {
  routes.get('/api/notifications', auth.requireAccount(), async (request, response) => {
    const { accountId } = identityOf(request);
    const { limit, cursor, only } = parseQuery(listQuery, request);
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
    response.json({ ...page, unread });
  });

  // Requests that do ask for a WebSocket never come here: they are upgraded before.
  routes.get(streamPath, () => {
    throw new Problem({
      status: 426,
      detail: 'Notifications are streamed over a WebSocket: ask for an upgrade.',
      headers: { upgrade: 'websocket', connection: 'Upgrade' },
    });
  });

  routes.post('/api/notifications/:id/read', auth.requireAccount(), async (request, response) => {
    const { id } = parseParams(idParams, request);
    const notification = await notifications.markRead(identityOf(request).accountId, id);
    if (!notification) throw problems.notFound(`There is no notification ${id}.`);
    response.json(notificationJson(notification));
  });
}
