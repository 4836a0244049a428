import { entityTag } from '@strangler/platform/http/entity-tag.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import type { Request, Router } from 'express';
import { type Auth, callerOf } from '../../auth/auth.ts';
import { sendRepresentation, sendWritten } from '../../http/representation.ts';
import type { CatalogueWrites } from './owner/catalogue-writes.ts';
import { productPatch, wholeProduct } from './product-fields.ts';
import { productQuery } from './product-list.ts';
import type { ProductService } from './product-service.ts';

export function addProductRoutes(
  routes: Router,
  { auth, products, writes }: { auth: Auth; products: Pick<ProductService, 'list' | 'get'>; writes: CatalogueWrites },
): void {
  const admin = auth.requireRole('admin');
  const patchBody = jsonBody({ types: ['application/json', 'application/merge-patch+json'] });

  routes.get('/api/products', async (request, response) => {
    const page = await products.list(productQuery(request));
    const body = JSON.stringify(page);
    sendRepresentation(request, response, { body, entityTag: entityTag(body) });
  });

  routes.get('/api/products/:id', async (request, response) => {
    const { id } = parseParams(idParams, request);
    sendRepresentation(request, response, await products.get(id));
  });

  routes.post('/api/products', admin, jsonBody(), async (request, response) => {
    const created = await writes.createProduct(parseBody(wholeProduct, request), callerOf(request));
    response.setHeader('Location', `/api/products/${created.id}`);
    sendWritten(response, 201, created);
  });

  routes.put('/api/products/:id', admin, jsonBody(), async (request, response) => {
    const { id } = parseParams(idParams, request);
    const ifMatch = requireIfMatch(request);
    const fields = parseBody(wholeProduct, request);
    sendWritten(response, 200, await writes.replaceProduct(id, ifMatch, fields, callerOf(request)));
  });

  routes.patch('/api/products/:id', admin, patchBody, async (request, response) => {
    const { id } = parseParams(idParams, request);
    const ifMatch = requireIfMatch(request);
    const patch = parseBody(productPatch, request);
    sendWritten(response, 200, await writes.patchProduct(id, ifMatch, patch, callerOf(request)));
  });

  routes.delete('/api/products/:id', admin, async (request, response) => {
    const { id } = parseParams(idParams, request);
    await writes.archiveProduct(id, requireIfMatch(request), callerOf(request));
    response.status(204).end();
  });
}

function requireIfMatch(request: Request): string {
  const header = request.headers['if-match'];
  if (header === undefined) {
    throw problems.preconditionRequired('Send If-Match with the ETag of the product you have read, or * for any');
  }
  return header;
}
