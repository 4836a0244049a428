import { entityTag } from '@strangler/platform/http/entity-tag.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { idText, parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import { z } from 'zod';
import { type Auth, callerOf } from '../../auth/auth.ts';
import { sendRepresentation } from '../../http/representation.ts';
import type { CatalogueWrites } from './owner/catalogue-writes.ts';
import { newReview, type ReviewService, reviewQuery } from './review-service.ts';

const reviewParams = z.object({ id: idText(), reviewId: idText() });

export function addReviewRoutes(
  routes: Router,
  { auth, reviews, writes }: { auth: Auth; reviews: Pick<ReviewService, 'list'>; writes: CatalogueWrites },
): void {
  routes.get('/api/products/:id/reviews', async (request, response) => {
    const { id } = parseParams(idParams, request);
    const body = JSON.stringify(await reviews.list(id, reviewQuery(request, id)));
    sendRepresentation(request, response, { body, entityTag: entityTag(body) });
  });

  routes.post('/api/products/:id/reviews', auth.requireRole('customer'), jsonBody(), async (request, response) => {
    const { id } = parseParams(idParams, request);
    const review = await writes.createReview(id, parseBody(newReview, request), callerOf(request));
    response.status(201).json(review);
  });

  routes.delete('/api/products/:id/reviews/:reviewId', auth.requireAccount(), async (request, response) => {
    const { id, reviewId } = parseParams(reviewParams, request);
    await writes.removeReview(id, reviewId, callerOf(request));
    response.status(204).end();
  });
}
