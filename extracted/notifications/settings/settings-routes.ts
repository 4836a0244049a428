import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { parseBody } from '@strangler/platform/http/validate.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { RequestHandler, Router } from 'express';
import { type Settings, settingsSchema } from './settings.ts';
import type { SettingsBroadcast } from './settings-broadcast.ts';

export function addSettingsRoutes(
  routes: Router,
  {
    auth,
    operatorOnly,
    settings,
    broadcast,
    log,
  }: {
    auth: Auth;
    operatorOnly: RequestHandler;
    settings: Settings;
    broadcast: Pick<SettingsBroadcast, 'tell'> | undefined;
    log: Log;
  },
): void {
  const admin = auth.requireRole('admin');

  routes.get('/internal/settings', operatorOnly, admin, async (_request, response) => {
    await settings.reload();
    response.json(settings.now());
  });

  routes.patch('/internal/settings', operatorOnly, admin, jsonBody(), async (request, response) => {
    const wanted = parseBody(settingsSchema.partial(), request);
    const values = await settings.change(wanted, `account ${identityOf(request).accountId}`);
    // It is changed, whether others can be told now or look when they are connected again.
    await broadcast
      ?.tell()
      .catch((error: unknown) => log.warn({ err: error }, 'a change of settings was not broadcast'));
    response.json(values);
  });
}
