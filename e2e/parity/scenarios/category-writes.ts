import { idIn } from '../exchange.ts';
import { get, type Scenario, type Step, type Told, write } from '../scenario.ts';

const create = (body: unknown, status = 201): Step => write('POST', '/api/categories', status, { as: 'admin', body });
const put = (id: number | ((told: Told) => string), body: unknown, status = 200): Step =>
  write('PUT', typeof id === 'function' ? id : `/api/categories/${id}`, status, { as: 'admin', body });
const remove = (id: number | string | ((told: Told) => string), status = 204): Step =>
  write('DELETE', typeof id === 'function' ? id : `/api/categories/${id}`, status, { as: 'admin' });
const made = ({ answers }: Told): string => `/api/categories/${idIn(answers[0])}`;
const tree = get('/api/categories');

export const categoryWriteScenarios: readonly Scenario[] = [
  {
    name: 'create categories, at the top and beneath another',
    steps: [
      create({ name: 'Zebra', slug: 'zebra' }),
      create({ name: '  Ärger  und\tmehr ', slug: 'aerger', parent_id: 1 }),
      create({ name: 'Alone', slug: 'alone', parent_id: null }),
      tree,
    ],
  },
  {
    name: 'categories that are refused',
    steps: [
      {},
      { name: '', slug: '' },
      { name: 'a', slug: 'A' },
      { name: 'a', slug: 'a--b' },
      { name: 'a'.repeat(101), slug: 'a'.repeat(101) },
      { name: 'a', slug: 'a', parent_id: 0 },
      { name: 'a', slug: 'a', parent_id: '1' },
      { name: 'a', slug: 'a', parent_id: 999_999 },
      { name: 'a', slug: 'a', id: 7 },
      [],
      null,
    ].map((body) => create(body, 400)),
  },
  {
    name: 'a slug that is taken, and the id that it used up',
    steps: [
      create({ name: 'Other', slug: 'kitchen' }, 409),
      create({ name: 'Other', slug: 'other' }),
      put(1, { name: 'K', slug: 'garden' }, 409),
      tree,
    ],
  },
  {
    name: 'a new name is on every product of the category',
    steps: [
      get('/api/products/2'),
      put(9, { name: 'Cookery', slug: 'cookery', parent_id: 2 }),
      get('/api/products?category=cookery&limit=100'),
      get('/api/products?category=cookware'),
      get('/api/products/2'),
      tree,
    ],
  },
  {
    name: 'a category is moved, its products with it',
    steps: [
      put(9, { name: 'Cookware', slug: 'cookware', parent_id: 2 }),
      get('/api/products?category=garden&limit=100'),
      get('/api/products?category=kitchen&limit=100'),
      tree,
    ],
  },
  {
    name: 'a category is not moved beneath itself',
    steps: [
      put(1, { name: 'Kitchen', slug: 'kitchen', parent_id: 1 }, 400),
      put(1, { name: 'Kitchen', slug: 'kitchen', parent_id: 9 }, 400),
      put(1, { name: 'Kitchen', slug: 'kitchen', parent_id: 999_999 }, 400),
      put(999_999, { name: 'a', slug: 'a' }, 404),
      tree,
    ],
  },
  {
    name: 'the same again changes nothing that is shown',
    steps: [put(1, { name: 'Kitchen', slug: 'kitchen' }), get('/api/products/1'), tree],
  },
  {
    name: 'an empty category is deleted, one that is not empty stays',
    steps: [
      create({ name: 'Empty', slug: 'empty', parent_id: 1 }),
      remove(made),
      remove(made, 404),
      remove(1, 409),
      remove(9, 409),
      remove('x', 400),
      tree,
    ],
  },
  {
    name: 'a category with nothing but an archived product is not empty',
    steps: [
      create({ name: 'Almost empty', slug: 'almost-empty' }),
      {
        request: ({ tokens, answers }) => ({
          method: 'POST',
          path: '/api/products',
          headers: { authorization: `Bearer ${tokens.admin}` },
          body: {
            sku: 'PARITY-1',
            name: 'Gone soon',
            category_id: idIn(answers[0]),
            price_cents: 1,
          },
        }),
        status: 201,
      },
      write('DELETE', ({ last }) => last?.headers.find(([name]) => name === 'location')?.[1] ?? '', 204, {
        as: 'admin',
        ifMatch: '*',
      }),
      tree,
      remove(made, 409),
    ],
  },
];
