import { describe, expect, test } from '@jest/globals';
import { defaultCompare } from '@strangler/platform/contracts/slice-compare.ts';
import { defaultCanaryBounds, type Slice, type SliceRoute } from '@strangler/platform/contracts/slice-file.ts';
import { buildRouteTable, RouteConflictError } from './route-table.ts';

const slice = (name: string, ...routes: string[]): Slice => ({
  slice: name,
  service: `${name}-service`,
  routes: routes.map((route) => {
    const [method, path] = route.split(' ') as [SliceRoute['method'], string];
    return { method, path, access: method === 'GET' ? 'read' : 'write' };
  }),
  stickyBy: ['ip'],
  tables: [],
  after: [],
  openapi: null,
  shadow: null,
  compare: defaultCompare,
  gates: { canary: defaultCanaryBounds, shadow: null },
});

describe('the route table', () => {
  const table = buildRouteTable([
    slice('catalog', 'GET /api/products', 'GET /api/products/:id', 'PUT /api/products/:id'),
    slice('reviews', 'GET /api/products/:id/reviews', 'GET /api/products/featured', 'GET /media/*'),
  ]);
  const claimed = (method: string, path: string) => {
    const route = table.match(method, path);
    return route === null ? null : `${route.slice} ${route.template}`;
  };

  test('claims by method and path and leaves the rest to the monolith', () => {
    expect(claimed('GET', '/api/products')).toBe('catalog /api/products');
    expect(claimed('PUT', '/api/products/7')).toBe('catalog /api/products/:id');
    expect(claimed('DELETE', '/api/products/7')).toBeNull();
    expect(claimed('GET', '/api/products/7/photos')).toBeNull();
    expect(claimed('GET', '/')).toBeNull();
    expect(claimed('PROPFIND', '/api/products')).toBeNull();
  });

  test('prefers the most specific template, in whichever slice it stands', () => {
    expect(claimed('GET', '/api/products/featured')).toBe('reviews /api/products/featured');
    expect(claimed('GET', '/api/products/7/reviews')).toBe('reviews /api/products/:id/reviews');
    expect(claimed('GET', '/media/a/b.png')).toBe('reviews /media/*');
  });

  test('matches as Express does: in any case, with or without a trailing slash, HEAD as GET', () => {
    expect(claimed('GET', '/API/Products/')).toBe('catalog /api/products');
    expect(claimed('HEAD', '/api/products/7')).toBe('catalog /api/products/:id');
  });

  test.each(['*', '//', '/%', '/api/products/%zz', '/api/products/%2e%2e', '/api/products/\u0000', '', 'http://a/b'])(
    'does not fall over the path %j',
    (path) => {
      expect(() => table.match('GET', path)).not.toThrow();
    },
  );

  test('refuses two claims of one route and names both slices', () => {
    const build = () => buildRouteTable([slice('a', 'GET /x/:id'), slice('b', 'GET /x/:key/', 'POST /x/:id')]);
    expect(build).toThrow(RouteConflictError);
    expect(build).toThrow('GET /x/:key/ is claimed by slice "a" and again by slice "b"');
  });
});
