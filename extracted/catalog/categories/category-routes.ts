import type { Auth } from '@strangler/platform/auth/auth.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import { sendRepresentation } from '../http/representation.ts';
import type { CategoryReader } from './category-reader.ts';
import { type CategoryService, wholeCategory } from './category-service.ts';

export function addCategoryRoutes(
  routes: Router,
  { auth, reader, categories }: { auth: Auth; reader: CategoryReader; categories: CategoryService },
): void {
  const admin = auth.requireRole('admin');

  routes.get('/api/categories', async (request, response) => {
    sendRepresentation(request, response, await reader.tree());
  });

  routes.post('/api/categories', admin, jsonBody(), async (request, response) => {
    response.status(201).json(await categories.create(parseBody(wholeCategory, request)));
  });

  routes.put('/api/categories/:id', admin, jsonBody(), async (request, response) => {
    const { id } = parseParams(idParams, request);
    response.json(await categories.replace(id, parseBody(wholeCategory, request)));
  });

  routes.delete('/api/categories/:id', admin, async (request, response) => {
    const { id } = parseParams(idParams, request);
    await categories.remove(id);
    response.status(204).end();
  });
}
