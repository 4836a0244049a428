import type { Auth } from '@strangler/platform/auth/auth.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import type { RequestHandler, Router } from 'express';
import { z } from 'zod';
import { type PriceRules, priceRule, runName } from './price-rules.ts';

const runParams = z.object({ run: runName, rule: runName });

/** For the shop's own jobs, with an admin's token. No proxy has a route here: it is not part of the API. */
export function addPriceRuleRoutes(
  routes: Router,
  { auth, admit, priceRules }: { auth: Auth; admit: RequestHandler; priceRules: PriceRules },
): void {
  const path = '/internal/price-rules/:run/:rule';
  const admin = auth.requireRole('admin');

  routes.put(path, admit, admin, jsonBody(), async (request, response) => {
    response.json(await priceRules.apply(parseParams(runParams, request), parseBody(priceRule, request)));
  });

  routes.get(path, admit, admin, async (request, response) => {
    const found = await priceRules.find(parseParams(runParams, request));
    if (!found) throw problems.notFound('This run has not applied this price rule');
    response.json(found);
  });
}
