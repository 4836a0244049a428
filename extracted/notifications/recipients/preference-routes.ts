import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { parseBody } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import { z } from 'zod';
import { locales, mailChoices, type Recipients } from './recipients.ts';

const preferences = z.strictObject({ locale: z.enum(locales), email: z.enum(mailChoices) });

export function addPreferenceRoutes(
  routes: Router,
  { auth, recipients }: { auth: Auth; recipients: Recipients },
): void {
  routes.get('/api/notifications/preferences', auth.requireAccount(), async (request, response) => {
    response.json(await recipients.preferences(identityOf(request).accountId));
  });

  routes.put('/api/notifications/preferences', auth.requireAccount(), jsonBody(), async (request, response) => {
    const wanted = parseBody(preferences, request);
    await recipients.prefer(identityOf(request).accountId, wanted);
    response.json(wanted);
  });
}
