import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import { z } from 'zod';
import { type Auth, identityOf } from '../../auth/auth.ts';
import type { SettingsService } from './settings-service.ts';

const MAX_VALUE_CHARACTERS = 10_000;

const keyParams = z.object({
  key: z.string().regex(/^[a-z][a-z0-9._-]{0,99}$/, 'must be 1 to 100 of a-z 0-9 . _ - beginning with a letter'),
});

const settingBody = z.strictObject({
  value: z
    .json()
    .refine(
      (value) => JSON.stringify(value).length <= MAX_VALUE_CHARACTERS,
      `must be at most ${MAX_VALUE_CHARACTERS} characters long as JSON`,
    ),
});

export function addSettingRoutes(routes: Router, { auth, settings }: { auth: Auth; settings: SettingsService }): void {
  routes.get('/api/settings', async (_request, response) => {
    response.set('Cache-Control', 'no-cache').json({ items: await settings.all() });
  });

  routes.put('/api/settings/:key', auth.requireRole('admin'), jsonBody(), async (request, response) => {
    const { key } = parseParams(keyParams, request);
    const { value } = parseBody(settingBody, request);
    response.json(await settings.put({ key, value, accountId: identityOf(request).accountId }));
  });
}
