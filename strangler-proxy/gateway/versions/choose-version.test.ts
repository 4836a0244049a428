import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ageHeaders, versionOfAccept, versionOfPath } from './choose-version.ts';

const versions = { v1: { path: '/api' }, v2: { path: '/api/second' }, beta: { path: null } };

describe('a version in the path', () => {
  test.each([
    ['/api/v1/products', { kind: 'version', version: 'v1', path: '/api/products' }],
    ['/api/V2/products/7', { kind: 'version', version: 'v2', path: '/api/second/products/7' }],
    ['/api/v2', { kind: 'version', version: 'v2', path: '/api/second' }],
    ['/api/v2/', { kind: 'version', version: 'v2', path: '/api/second/' }],
    ['/api/beta/x', { kind: 'version', version: 'beta', path: '/api/x' }],
    ['/api/v9/products', { kind: 'unknown', asked: 'v9' }],
    ['/api/products', { kind: 'none' }],
    ['/apiv1/x', { kind: 'none' }],
    ['/other/v1', { kind: 'none' }],
  ])('%s', (path, expected) => {
    expect(versionOfPath(path, '/api', versions)).toEqual(expected);
  });

  test('is cut out and nothing else is', () => {
    const segment = fc.stringMatching(/^[a-z0-9%.:-]{1,8}$/);
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 5 }), (rest) => {
        const path = rest.map((part) => `/${part}`).join('');
        expect(versionOfPath(`/v1${path}`, '/', { v1: { path: '/' } })).toEqual({
          ...{ kind: 'version', version: 'v1', path: path || '/' },
        });
      }),
    );
  });
});

describe('a version in Accept', () => {
  const known = ['v1', 'v2'];
  test.each([
    [undefined, { kind: 'none' }],
    ['application/json', { kind: 'none' }],
    ['application/vnd.shop.v2+json', { kind: 'version', version: 'v2', mediaType: 'application/vnd.shop.v2+json' }],
    ['Application/Vnd.Shop.V1', { kind: 'version', version: 'v1', mediaType: 'application/vnd.shop.v1' }],
    ['application/json; version=2', { kind: 'version', version: 'v2', mediaType: 'application/json' }],
    ['application/json;version="v1";q=0.5', { kind: 'version', version: 'v1', mediaType: 'application/json' }],
    ['application/vnd.shop.v1+json;q=0.2, application/vnd.shop.v2+json;q=0.9', { version: 'v2' }],
    ['application/vnd.shop.v9+json, application/vnd.shop.v1+json;q=0.1', { version: 'v1' }],
    ['application/vnd.shop.v9+json', { kind: 'unknown', asked: 'v9' }],
    ['application/vnd.shop.v9+json, */*;q=0.1', { kind: 'none' }],
    ['application/vnd.shop.v1+json;q=0', { kind: 'none' }],
    ['application/vnd.other.v1+json', { kind: 'none' }],
  ])('%j', (accept, expected) => {
    expect(versionOfAccept(accept, 'shop', known)).toMatchObject(expected);
  });

  test('of any text is one that exists, or unknown, or none', () => {
    fc.assert(
      fc.property(fc.string(), (accept) => {
        const found = versionOfAccept(accept, 'shop', known);
        if (found.kind === 'version') expect(known).toContain(found.version);
      }),
    );
  });
});

test('how old a version is stands in headers of their own', () => {
  const rules = {
    path: null,
    headers: {},
    deprecatedMs: 1688169599_000,
    sunsetMs: Date.UTC(2027, 0, 1),
    link: 'https://x/y',
  };
  expect(ageHeaders(rules)).toEqual([
    ...['Deprecation', '@1688169599', 'Sunset', 'Fri, 01 Jan 2027 00:00:00 GMT'],
    ...['Link', '<https://x/y>; rel="deprecation"; type="text/html"'],
  ]);
  expect(ageHeaders({ ...rules, deprecatedMs: null, sunsetMs: null })).toEqual([]);
});
