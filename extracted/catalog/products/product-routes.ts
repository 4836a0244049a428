import type { Auth } from '@strangler/platform/auth/auth.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import type { Request, Router } from 'express';
import { sendRepresentation, sendWritten } from '../http/representation.ts';
import { productPatch, wholeProduct } from './product-fields.ts';
import { productQuery } from './product-list.ts';
import type { ProductReader } from './product-reader.ts';
import type { ProductService } from './product-service.ts';

export function addProductRoutes(
  routes: Router,
  { auth, reader, products }: { auth: Auth; reader: ProductReader; products: ProductService },
): void {
  const admin = auth.requireRole('admin');
  const patchBody = jsonBody({ types: ['application/json', 'application/merge-patch+json'] });

  routes.get('/api/products', async (request, response) => {
    sendRepresentation(request, response, await reader.page(productQuery(request)));
  });

  routes.get('/api/products/:id', async (request, response) => {
    const { id } = parseParams(idParams, request);
    sendRepresentation(request, response, await reader.get(id));
  });

  routes.post('/api/products', admin, jsonBody(), async (request, response) => {
    const created = await products.create(parseBody(wholeProduct, request));
    response.setHeader('Location', `/api/products/${created.id}`);
    sendWritten(response, 201, created);
  });

  routes.put('/api/products/:id', admin, jsonBody(), async (request, response) => {
    const { id } = parseParams(idParams, request);
    const ifMatch = requireIfMatch(request);
    sendWritten(response, 200, await products.replace(id, ifMatch, parseBody(wholeProduct, request)));
  });

  routes.patch('/api/products/:id', admin, patchBody, async (request, response) => {
    const { id } = parseParams(idParams, request);
    const ifMatch = requireIfMatch(request);
    sendWritten(response, 200, await products.patch(id, ifMatch, parseBody(productPatch, request)));
  });

  routes.delete('/api/products/:id', admin, async (request, response) => {
    const { id } = parseParams(idParams, request);
    await products.archive(id, requireIfMatch(request));
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
