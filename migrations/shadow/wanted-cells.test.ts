import { describe, expect, test } from '@jest/globals';
import { readApiDescription } from '../openapi/read-description.ts';
import { coverageOf, nameCell, wantedCells } from './wanted-cells.ts';

const operations = readApiDescription(
  `openapi: 3.1.0
paths:
  /api/products:
    get: { responses: { "200": {}, "304": {}, "400": {}, "500": {}, default: {} } }
    post: { security: [{ account: [] }], responses: { "201": {}, "401": {} } }
  /api/products/{id}:
    get: { security: [{}, { account: [] }], responses: { "200": {}, "404": {} } }
`,
  'api.yaml',
);

describe('the kinds of answers that are wanted', () => {
  const routes = [
    { method: 'GET', path: '/api/products', access: 'read' },
    { method: 'GET', path: '/api/products/:id', access: 'read' },
    { method: 'POST', path: '/api/products', access: 'write' },
    { method: 'GET', path: '/api/other', access: 'read' },
  ] as const;
  const shadow = { sample: 1, calibrate: 0.05, writes: 'dry-run', routes: {} } as const;

  test('are the classes of status that the description names, for those who may ask', () => {
    expect(wantedCells({ routes: [...routes], shadow }, operations).map(nameCell)).toEqual([
      'GET /api/products 2xx',
      'GET /api/products 3xx',
      'GET /api/products 4xx',
      'GET /api/products/:id 2xx anonymous',
      'GET /api/products/:id 2xx signed in',
      'GET /api/products/:id 4xx',
      'POST /api/products 2xx signed in',
      'POST /api/products 4xx',
      'GET /api/other 2xx',
    ]);
  });

  test('are each route’s success without one, and no writes where none are compared', () => {
    const off = { ...shadow, writes: 'off' } as const;
    expect(wantedCells({ routes: [...routes], shadow: off }, []).map(nameCell)).toEqual([
      'GET /api/products 2xx',
      'GET /api/products/:id 2xx',
      'GET /api/other 2xx',
    ]);
  });

  test('are covered by what was seen of them: roles apart, and only what is clean', () => {
    const cells = (['anonymous', 'admin', 'user'] as const).map((role) => ({
      endpoint: 'GET /api/products/:id',
      statusClass: '2xx' as const,
      role,
      access: 'read' as const,
      outcomes: { same: 3, noise: 1, accepted: 1, different: 2, racing: 4 },
    }));
    const wanted = wantedCells({ routes: [routes[1]], shadow }, operations);
    expect(coverageOf(wanted, cells).map(({ clean, seen }) => [clean, seen])).toEqual([
      [5, 11],
      [10, 22],
      [0, 0],
    ]);
  });
});
