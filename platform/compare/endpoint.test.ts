import { describe, expect, test } from '@jest/globals';
import { createEndpoints, pathOfOpenApi } from './endpoint.ts';

const endpoints = createEndpoints(
  [
    'GET /api/products/*',
    'GET /api/products/:id',
    'GET /api/products/new',
    'GET /api/products',
    'POST /api/products',
    'GET /api/:kind/:id/reviews',
    'GET /files*',
  ].map((text) => {
    const [method = '', path = ''] = text.split(' ');
    return { method, path };
  }),
);

describe('the endpoint of a request', () => {
  test.each<[string, string, string | null]>([
    ['GET', '/api/products', 'GET /api/products'],
    ['POST', '/api/products?a=/b', 'POST /api/products'],
    ['GET', '/api/products/7?x=1', 'GET /api/products/:id'],
    ['GET', '/api/products/new', 'GET /api/products/new'],
    ['GET', '/api/products/7/reviews', 'GET /api/products/*'],
    ['GET', '/api/shops/7/reviews', 'GET /api/:kind/:id/reviews'],
    ['GET', '/api/products/', 'GET /api/products/*'],
    ['GET', '/files/a/b', 'GET /files*'],
    ['DELETE', '/api/products', null],
    ['GET', '/', null],
  ])('%s %s is %s', (method, path, expected) => {
    expect(endpoints.of(method, path)).toBe(expected);
  });
});

test('a path of OpenAPI reads as one of a slice file', () => {
  expect(pathOfOpenApi('/api/products/{id}/reviews/{reviewId}')).toBe('/api/products/:id/reviews/:reviewId');
});
