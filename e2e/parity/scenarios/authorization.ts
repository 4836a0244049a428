import { get, type Scenario, type Step, type Tokens, write } from '../scenario.ts';

const routes: [method: string, path: string][] = [
  ['POST', '/api/products'],
  ['PUT', '/api/products/2'],
  ['PATCH', '/api/products/2'],
  ['DELETE', '/api/products/2'],
  ['POST', '/api/categories'],
  ['PUT', '/api/categories/1'],
  ['DELETE', '/api/categories/1'],
  ['POST', '/api/products/2/reviews'],
  ['DELETE', '/api/products/2/reviews/1'],
];

/** Every write, with something that would not even be looked at. */
const everywhere = (status: number, headers: Record<string, string> = {}): Step[] =>
  routes.map(([method, path]) => write(method, path, status, { headers }));

const bad: (keyof Tokens)[] = [
  'expired',
  'otherIssuer',
  'otherAudience',
  'unknownKey',
  'forged',
  'noRole',
  'oddRole',
  'noExpiry',
];

export const authorizationScenarios: readonly Scenario[] = [
  { name: 'every write without a token', steps: everywhere(401) },
  { name: 'every write with something that is no token', steps: everywhere(401, { authorization: 'Bearer nonsense' }) },
  {
    name: 'Authorization headers that are not of the form',
    steps: [
      '',
      'Bearer',
      'Bearer ',
      'Basic YTpi',
      'Bearer a b',
      'bearer "x"',
      'Token abc',
      'Bearer a.b.c',
      'Bearer ...',
      `Bearer ${'a'.repeat(5000)}`,
    ].map((authorization) => write('POST', '/api/products', 401, { headers: { authorization }, body: {} })),
  },
  ...bad.map((as) => ({
    name: `a token that is not good: ${as}`,
    steps: [
      write('POST', '/api/products', 401, { as, body: {} }),
      write('DELETE', '/api/products/2/reviews/1', 401, { as }),
    ],
  })),
  {
    name: 'a token without a signature',
    steps: [
      {
        request: ({ tokens }) => ({
          method: 'POST',
          path: '/api/products',
          headers: { authorization: `Bearer ${tokens.admin.split('.').slice(0, 2).join('.')}.` },
        }),
        status: 401,
      },
      {
        request: ({ tokens }) => ({
          method: 'POST',
          path: '/api/products',
          headers: {
            authorization: `Bearer ${Buffer.from('{"alg":"none"}').toString('base64url')}.${tokens.admin.split('.')[1]}.`,
          },
        }),
        status: 401,
      },
    ],
  },
  {
    name: 'what a customer may not do',
    steps: routes
      .filter(([, path]) => !path.includes('/reviews'))
      .map(([method, path]) => write(method, path, 403, { as: 'customer', body: '{' })),
  },
  {
    name: 'who one is comes before what one asks',
    steps: [
      write('POST', '/api/products', 401, { body: '{' }),
      write('PUT', '/api/products/x', 401),
      write('POST', '/api/products', 403, { as: 'customer', headers: { 'content-type': 'text/plain' }, body: 'x' }),
      write('POST', '/api/nothing', 404, { as: 'customer' }),
    ],
  },
  {
    name: 'the scheme may be written in any case',
    steps: [
      {
        request: ({ tokens }) => ({
          method: 'POST',
          path: '/api/products',
          headers: { authorization: `bEARER   ${tokens.admin} ` },
          body: {},
        }),
        status: 400,
      },
      get('/api/products/2'),
    ],
  },
];
