import { get, lastLocation, type Scenario, type Step, write } from '../scenario.ts';

/** A category without others beneath it. */
const LEAF = 9;

const whole = { sku: 'PARITY-1', name: 'A thing', category_id: LEAF, price_cents: 1234 };
const full = {
  ...whole,
  description: ' Two\nlines \u{1f600} ',
  currency: 'USD',
  attributes: { size: 3, width_cm: 1.5, colour: 'réd', hot: true, big: 1e21, negative: -0.001 },
  active: false,
};

const create = (body: unknown = whole): Step => write('POST', '/api/products', 201, { as: 'admin', body });
const createRefused = (body: unknown, status = 400): Step =>
  write('POST', '/api/products', status, { as: 'admin', body });
const patch = (body: unknown, status = 200): Step =>
  write('PATCH', '/api/products/2', status, { as: 'admin', ifMatch: '*', body });
const read: Step = { request: (told) => ({ path: lastLocation(told) }), status: 200 };
const elsewhere: Step[] = [get('/api/products?limit=100&sort=name'), get('/api/categories')];

const creating: Scenario[] = [
  { name: 'create with what is needed, then read it everywhere', steps: [create(), read, ...elsewhere] },
  { name: 'create with everything', steps: [create(full), read, ...elsewhere] },
  {
    name: 'create two and get two ids',
    steps: [create(), create({ ...whole, sku: 'PARITY-2' }), get('/api/products?limit=5')],
  },
  {
    name: 'an id is used up by a create that is refused',
    steps: [create(), createRefused(whole, 409), create({ ...whole, sku: 'PARITY-2' })],
  },
  {
    name: 'text is put into one form',
    steps: [
      create({ ...whole, name: '  Cafe\u0301   au\tlait\n', description: '  a  b \r\n ' }),
      read,
      get('/api/products?q=caf%C3%A9'),
    ],
  },
  {
    name: 'create without what is needed',
    steps: [
      createRefused({}),
      createRefused({ sku: 'A' }),
      createRefused(null),
      createRefused([]),
      createRefused('"text"'),
      createRefused(7),
    ],
  },
  {
    name: 'create with values that are refused',
    steps: [
      { sku: 'lower' },
      { sku: '' },
      { sku: `A${'A'.repeat(64)}` },
      { sku: 7 },
      { name: '' },
      { name: '   ' },
      { name: 'a'.repeat(201) },
      { name: 'a\u0000b' },
      { name: '\ud800' },
      { description: 'a'.repeat(10_001) },
      { description: null },
      { price_cents: -1 },
      { price_cents: 1.5 },
      { price_cents: 100_000_001 },
      { price_cents: '100' },
      { price_cents: null },
      { currency: 'eur' },
      { currency: 'EURO' },
      { category_id: 0 },
      { category_id: '9' },
      { category_id: 1.5 },
      { active: 'true' },
      { active: 1 },
    ].map((bad) => createRefused({ ...whole, ...bad })),
  },
  {
    name: 'create with attributes that are refused',
    steps: [
      { Colour: 'red' },
      { '1a': 1 },
      { [`a${'a'.repeat(64)}`]: 1 },
      { a: null },
      { a: [1] },
      { a: { b: 1 } },
      { a: 'x'.repeat(501) },
      { a: '\ud800', B: null, c: [] },
      Object.fromEntries(Array.from({ length: 51 }, (_, at) => [`a${at}`, at])),
      [],
      'text',
    ].map((attributes) => createRefused({ ...whole, attributes })),
  },
  {
    name: 'create with fields that are not known',
    steps: [createRefused({ ...whole, id: 7 }), createRefused({ ...whole, rating: 5, version: 1, a: 1, sku: 'x' })],
  },
  { name: 'create in a category that there is not', steps: [createRefused({ ...whole, category_id: 999_999 })] },
  {
    name: 'a price of nothing and the highest price',
    steps: [
      create({ ...whole, price_cents: 0 }),
      create({ ...whole, sku: 'PARITY-2', price_cents: 100_000_000 }),
      get('/api/products?sort=price&limit=3'),
      get('/api/products?sort=-price&limit=3'),
    ],
  },
  {
    name: 'bodies that are not what they say',
    steps: [
      write('POST', '/api/products', 400, { as: 'admin', body: '{"sku":' }),
      write('POST', '/api/products', 400, { as: 'admin', body: '' }),
      write('POST', '/api/products', 400, { as: 'admin' }),
      write('POST', '/api/products', 415, {
        as: 'admin',
        body: 'a=b',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      }),
      write('POST', '/api/products', 415, { as: 'admin', body: '{}', headers: { 'content-type': 'text/plain' } }),
      write('POST', '/api/products', 415, {
        as: 'admin',
        body: '{}',
        headers: { 'content-type': 'application/merge-patch+json' },
      }),
      write('POST', '/api/products', 415, {
        as: 'admin',
        body: '{}',
        headers: { 'content-type': 'application/json; charset=latin1' },
      }),
      write('POST', '/api/products', 415, { as: 'admin', body: '{}', headers: { 'content-encoding': 'zstd-unknown' } }),
      write('POST', '/api/products', 413, { as: 'admin', body: `{"name":"${'a'.repeat(102_400)}"}` }),
      write('POST', '/api/products', 201, {
        as: 'admin',
        body: JSON.stringify(whole),
        headers: { 'content-type': 'Application/JSON; charset=UTF-8' },
      }),
    ],
  },
];

const changing: Scenario[] = [
  {
    name: 'replace with the ETag that was read',
    steps: [
      get('/api/products/2'),
      write('PUT', '/api/products/2', 200, { as: 'admin', ifMatch: 'last', body: full }),
      get('/api/products/2'),
    ],
  },
  {
    name: 'replace takes the defaults for what is left out',
    steps: [
      write('PUT', '/api/products/2', 200, { as: 'admin', ifMatch: '*', body: whole }),
      get('/api/products/2'),
      ...elsewhere,
    ],
  },
  {
    name: 'patch every field, one by one',
    steps: [
      { sku: 'PARITY-9' },
      { name: 'Named anew' },
      { description: '' },
      { category_id: LEAF },
      { price_cents: 1 },
      { currency: 'CHF' },
      { active: false },
      { active: true },
    ].flatMap((body) => [patch(body), get('/api/products/2')]),
  },
  { name: 'an empty patch makes a new version', steps: [get('/api/products/2'), patch({}), get('/api/products/2')] },
  {
    name: 'patch attributes: set, change, remove, keep',
    steps: [
      patch({ attributes: { zeta: 1, alpha: 'a', colour: null } }),
      patch({ attributes: { zeta: 2, not_there: null } }),
      patch({ attributes: {} }),
      patch({ attributes: { zeta: null, alpha: null, material: null, weight_g: null } }),
      get('/api/products/2'),
    ],
  },
  {
    name: 'patch to more attributes than there may be',
    steps: [
      patch({ attributes: Object.fromEntries(Array.from({ length: 47 }, (_, at) => [`a${at}`, at])) }),
      patch({ attributes: { one_more: 1 } }, 400),
      get('/api/products/2'),
    ],
  },
  {
    name: 'patch as a merge patch and as what is not taken',
    steps: [
      write('PATCH', '/api/products/2', 200, {
        as: 'admin',
        ifMatch: '*',
        body: '{"price_cents":5}',
        headers: { 'content-type': 'application/merge-patch+json' },
      }),
      write('PATCH', '/api/products/2', 415, {
        as: 'admin',
        ifMatch: '*',
        body: '[]',
        headers: { 'content-type': 'application/json-patch+json' },
      }),
      write('PATCH', '/api/products/2', 400, { as: 'admin', ifMatch: '*' }),
    ],
  },
  {
    name: 'patches that are refused',
    steps: [
      patch({ price_cents: null }, 400),
      patch({ name: null, sku: null }, 400),
      patch({ rating: 5 }, 400),
      patch({ attributes: { Bad: 1 } }, 400),
      patch({ attributes: null }, 400),
      patch({ category_id: 999_999 }, 400),
      patch([], 400),
      get('/api/products/2'),
    ],
  },
  {
    name: 'a change is refused without If-Match',
    steps: [
      write('PUT', '/api/products/2', 428, { as: 'admin', body: whole }),
      write('PATCH', '/api/products/2', 428, { as: 'admin', body: {} }),
      write('DELETE', '/api/products/2', 428, { as: 'admin' }),
      write('PATCH', '/api/products/2', 428, { as: 'admin', body: { price_cents: 'x' } }),
    ],
  },
  {
    name: 'a change is refused with an ETag that is not the present one',
    steps: ['"1-0"', 'nonsense', '', '"a", "b"', '1-0'].flatMap((ifMatch) => [
      write('PUT', '/api/products/2', 412, { as: 'admin', ifMatch, body: whole }),
      write('PATCH', '/api/products/2', 412, { as: 'admin', ifMatch, body: { price_cents: 1 } }),
      write('DELETE', '/api/products/2', 412, { as: 'admin', ifMatch }),
    ]),
  },
  {
    name: 'a weak ETag is not the present one, one of several may be',
    steps: [
      get('/api/products/2'),
      { request: ({ tokens, answers }) => change(tokens.admin, `W/${tagOf(answers[0])}`), status: 412 },
      { request: ({ tokens, answers }) => change(tokens.admin, `"x", ${tagOf(answers[0])}`), status: 200 },
      { request: ({ tokens, answers }) => change(tokens.admin, tagOf(answers[0])), status: 412 },
    ],
  },
  {
    name: 'an ETag is good for one change only',
    steps: [
      get('/api/products/2'),
      write('PATCH', '/api/products/2', 200, { as: 'admin', ifMatch: 'last', body: { price_cents: 2 } }),
      write('PATCH', '/api/products/2', 200, { as: 'admin', ifMatch: 'last', body: { price_cents: 3 } }),
      get('/api/products?limit=100&sort=price'),
    ],
  },
  {
    name: 'a change to an SKU that is taken',
    steps: [
      create(),
      patch({ sku: 'PARITY-1' }, 409),
      write('PUT', '/api/products/2', 409, { as: 'admin', ifMatch: '*', body: whole }),
      get('/api/products/2'),
    ],
  },
  {
    name: 'a change of what there is not',
    steps: [
      write('PUT', '/api/products/999999', 404, { as: 'admin', ifMatch: '*', body: whole }),
      write('PATCH', '/api/products/999999', 404, { as: 'admin', ifMatch: '*', body: {} }),
      write('DELETE', '/api/products/999999', 404, { as: 'admin', ifMatch: '"x"' }),
      write('PUT', '/api/products/x', 400, { as: 'admin', ifMatch: '*', body: whole }),
      write('DELETE', '/api/products/0', 400, { as: 'admin', ifMatch: '*' }),
    ],
  },
];

const deleting: Scenario[] = [
  {
    name: 'delete, and it is nowhere',
    steps: [
      get('/api/products/2'),
      write('DELETE', '/api/products/2', 204, { as: 'admin', ifMatch: 'last' }),
      get('/api/products/2', 404),
      get('/api/products/2/reviews', 404),
      write('DELETE', '/api/products/2', 404, { as: 'admin', ifMatch: '*' }),
      write('PATCH', '/api/products/2', 404, { as: 'admin', ifMatch: '*', body: {} }),
      write('POST', '/api/products/2/reviews', 404, { as: 'customer', body: { rating: 1, title: 't', body: 'b' } }),
      ...elsewhere,
    ],
  },
  {
    name: 'the SKU of what was deleted stays taken',
    steps: [create(), write('DELETE', lastLocation, 204, { as: 'admin', ifMatch: '*' }), createRefused(whole, 409)],
  },
  {
    name: 'what is not active is shown by id only',
    steps: [patch({ active: false }), get('/api/products/2'), get('/api/products/2/reviews'), ...elsewhere],
  },
];

function change(token: string, ifMatch: string) {
  return {
    method: 'PATCH',
    path: '/api/products/2',
    headers: { authorization: `Bearer ${token}`, 'if-match': ifMatch },
    body: { price_cents: 7 },
  };
}

function tagOf(answer: { headers: [string, string][] } | undefined): string {
  return answer?.headers.find(([name]) => name === 'etag')?.[1] ?? '';
}

export const productWriteScenarios: readonly Scenario[] = [...creating, ...changing, ...deleting];
