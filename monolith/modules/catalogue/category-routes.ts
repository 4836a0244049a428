import { entityTag } from '@strangler/platform/http/entity-tag.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import { type Auth, callerOf } from '../../auth/auth.ts';
import { sendRepresentation } from '../../http/representation.ts';
import { type CategoryService, wholeCategory } from './category-service.ts';
import type { CatalogueWrites } from './owner/catalogue-writes.ts';

export function addCategoryRoutes(
  routes: Router,
  { auth, categories, writes }: { auth: Auth; categories: Pick<CategoryService, 'tree'>; writes: CatalogueWrites },
): void {
  const admin = auth.requireRole('admin');

  routes.get('/api/categories', async (request, response) => {
    const body = JSON.stringify({ items: await categories.tree() });
    sendRepresentation(request, response, { body, entityTag: entityTag(body) });
  });

  routes.post('/api/categories', admin, jsonBody(), async (request, response) => {
    response.status(201).json(await writes.createCategory(parseBody(wholeCategory, request), callerOf(request)));
  });

  routes.put('/api/categories/:id', admin, jsonBody(), async (request, response) => {
    const { id } = parseParams(idParams, request);
    response.json(await writes.replaceCategory(id, parseBody(wholeCategory, request), callerOf(request)));
  });

  routes.delete('/api/categories/:id', admin, async (request, response) => {
    const { id } = parseParams(idParams, request);
    await writes.removeCategory(id, callerOf(request));
    response.status(204).end();
  });
}
