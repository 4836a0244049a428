import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { idText, parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import { z } from 'zod';
import { sendRepresentation } from '../http/representation.ts';
import { type ReviewReader, reviewQuery } from './review-reader.ts';
import { newReview, type ReviewService } from './review-service.ts';

const reviewParams = z.object({ id: idText(), reviewId: idText() });

export function addReviewRoutes(
  routes: Router,
  { auth, reader, reviews }: { auth: Auth; reader: ReviewReader; reviews: ReviewService },
): void {
  routes.get('/api/products/:id/reviews', async (request, response) => {
    const { id } = parseParams(idParams, request);
    sendRepresentation(request, response, await reader.page(id, reviewQuery(request, id)));
  });

  routes.post('/api/products/:id/reviews', auth.requireRole('customer'), jsonBody(), async (request, response) => {
    const { id } = parseParams(idParams, request);
    const author = { id: identityOf(request).accountId, authorization: request.headers.authorization ?? '' };
    response.status(201).json(await reviews.create(id, author, parseBody(newReview, request)));
  });

  routes.delete('/api/products/:id/reviews/:reviewId', auth.requireAccount(), async (request, response) => {
    const { id, reviewId } = parseParams(reviewParams, request);
    await reviews.remove(id, reviewId, identityOf(request));
    response.status(204).end();
  });
}
