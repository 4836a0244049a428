import { describe, expect, test } from '@jest/globals';
import type { GatewayFileError } from './gateway-fault.ts';
import { parseGatewayFile } from './gateway-file.ts';
import type { Policy } from './policy.ts';
import { buildChains, pathReading } from './route-chains.ts';

const faultsOf = (text: string): string[] => {
  try {
    parseGatewayFile(text, 'gateway.yaml');
    return [];
  } catch (error) {
    return (error as GatewayFileError).message.split('\n');
  }
};

describe('a gateway file', () => {
  test('tells every fault at once, each with its line and what was expected', () => {
    const faults = faultsOf(
      [
        'policies:',
        '  office: { kind: ip, allow: [ 10.0.0.0/8 ], colour: blue }',
        '  Home: { kind: ip }',
        '  moon: { kind: moon }',
        'routes:',
        '  - { route: GET api, policies: [ office ] }',
        'colour: blue',
      ].join('\n'),
    );
    expect(faults).toEqual([
      'gateway.yaml:2 policies.office.colour: is not an option of a gateway file',
      'gateway.yaml:3 policies.Home: has a key that is not valid',
      expect.stringMatching(/^gateway.yaml:4 policies.moon.kind: must be a policy of a kind: .*\bip\b/),
      expect.stringMatching(/^gateway.yaml:6 routes.0.route: must be a method \(.*such as "\* \/api\/\*"/),
      'gateway.yaml:7 colour: is not an option of a gateway file',
    ]);
  });

  test('may name only policies that it has, and no route twice', () => {
    const faults = faultsOf(
      'policies: { office: { kind: ip } }\nroutes:\n  - { route: GET /a/:id, policies: [ ofice ] }\n  - { route: GET /A/:key/, policies: [] }',
    );
    expect(faults).toEqual([
      'gateway.yaml:3 routes.0.policies.0: must be the name of a policy of this file, found "ofice"; there are: office',
      'gateway.yaml:4 routes.1.route: must stand in the file once, found GET /A/:key/ again',
    ]);
  });
});

describe('the policies that a request meets', () => {
  const chainOf = buildChains(
    [
      '* /*',
      'GET /api/products/:id',
      '* /api/products/*',
      'POST /api/products/*',
      'HEAD /api/orders',
      'GET /api/orders',
    ].map((route) => ({ route, policies: ['one'] })),
    (name): Policy => ({ name, check: () => ({ kind: 'pass' }) }),
  );

  test.each([
    ['GET', '/api/products/7', 'GET /api/products/:id'],
    ['HEAD', '/api/products/7', 'GET /api/products/:id'],
    ['GET', '/API/Products/7/', 'GET /api/products/:id'],
    ['GET', '/%61pi/products/7', 'GET /api/products/:id'],
    ['DELETE', '/api/products/7', '* /api/products/*'],
    ['POST', '/api/products/7/reviews', 'POST /api/products/*'],
    ['GET', `/api/products/${'x'.repeat(5000)}`, 'GET /api/products/:id'],
    ['HEAD', '/api/orders', 'HEAD /api/orders'],
    ['PROPFIND', '/anything', '* /*'],
    ['GET', '/', '* /*'],
  ])('%s %s meets those of %s', (method, path, route) => {
    expect(chainOf(method, path)?.route).toBe(route);
  });

  test.each([
    ['/api/products/7', 'plain'],
    ['/a%20b/%C3%BC.x/..y/...', 'plain'],
    ['//api', 'ambiguous'],
    ['/api/../admin', 'ambiguous'],
    ['/api/%2e%2E/admin', 'ambiguous'],
    ['/api/.', 'ambiguous'],
    ['/api/..;x/admin', 'ambiguous'],
    ['/api%2Fadmin', 'ambiguous'],
    ['/api\\admin', 'ambiguous'],
    ['/api/%5cadmin', 'ambiguous'],
    ['/api/%zz', 'unreadable'],
    ['/api/%ff', 'unreadable'],
  ])('the path %s is %s', (path, reading) => {
    expect(pathReading(path)).toBe(reading);
  });
});
