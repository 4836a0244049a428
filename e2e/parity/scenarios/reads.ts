import { headerOf } from '../exchange.ts';
import { get, type Scenario, type Step } from '../scenario.ts';

const sorts = ['name', '-name', 'price', '-price', 'rating', 'newest'] as const;

const lists: Scenario[] = [
  { name: 'the list without parameters', steps: [get('/api/products')] },
  ...sorts.map((sort) => ({
    name: `every page of the list sorted by ${sort}`,
    steps: [{ pages: `/api/products?sort=${sort}&limit=17` }],
  })),
  { name: 'pages of one item, to the end of a category', steps: [{ pages: '/api/products?category=knives&limit=1' }] },
  { name: 'the largest page', steps: [get('/api/products?limit=100&sort=name')] },
  {
    name: 'a root category has what is beneath it',
    steps: [{ pages: '/api/products?category=kitchen&limit=5&sort=-name' }],
  },
  { name: 'a category that there is not', steps: [get('/api/products?category=no-such-category')] },
  { name: 'a lowest price', steps: [{ pages: '/api/products?min_price_cents=5000&sort=price&limit=9' }] },
  { name: 'a highest price', steps: [{ pages: '/api/products?max_price_cents=2500&sort=-price&limit=9' }] },
  {
    name: 'a range of prices within a category',
    steps: [{ pages: '/api/products?min_price_cents=1000&max_price_cents=9000&category=garden&sort=price&limit=3' }],
  },
  { name: 'a range of prices that nothing is in', steps: [get('/api/products?min_price_cents=10&max_price_cents=9')] },
  { name: 'a lowest rating', steps: [{ pages: '/api/products?min_rating=3.5&sort=rating&limit=7' }] },
  { name: 'a lowest rating of five', steps: [get('/api/products?min_rating=5.00')] },
  {
    name: 'words of names, whatever their case and accents',
    steps: ['pan', 'PAN', 'cafe', 'CAFÉ', 'café', 'knife chef', 'chef knife', 'nothing-like-it'].map((q) =>
      get(`/api/products?q=${encodeURIComponent(q)}&sort=name`),
    ),
  },
  {
    name: 'words that are patterns in SQL stand for themselves',
    steps: ['%', '_', '\\', "'", '%25', 'a%', '" OR 1=1 --', '\u{1f600}'].map((q) =>
      get(`/api/products?q=${encodeURIComponent(q)}`),
    ),
  },
  {
    name: 'the beginning of an SKU',
    steps: [get('/api/products?q=KNI-&sort=name'), get('/api/products?q=kni-0&sort=name')],
  },
  {
    name: 'a search without words is the whole list',
    steps: [get('/api/products?q='), get('/api/products?q=%20%20'), get('/api/products?q=pan%20%20pan')],
  },
  {
    name: 'every filter at once, to the end',
    steps: [
      {
        pages:
          '/api/products?q=b&category=home&min_price_cents=1&max_price_cents=99999&min_rating=0.5&sort=-price&limit=2',
      },
    ],
  },
];

const details: Scenario[] = [
  { name: 'each of the first forty products', steps: range(1, 40).map((id) => shownOrNot(id)) },
  { name: 'each of the last forty products', steps: range(81, 120).map((id) => shownOrNot(id)) },
  {
    name: 'the reviews of each of the first twenty products',
    steps: range(1, 20).map((id) => get(`/api/products/${id}/reviews`)),
  },
  {
    name: 'the reviews of products page by page',
    steps: range(1, 12).map((id) => ({ pages: `/api/products/${id}/reviews?limit=2` })),
  },
  { name: 'the tree of categories', steps: [get('/api/categories')] },
  { name: 'an id with zeros before it', steps: [get('/api/products/0001'), get('/api/products/0001/reviews')] },
];

const conditional: Scenario[] = [
  '/api/products/1',
  '/api/products?limit=3',
  '/api/categories',
  '/api/products/1/reviews',
].map((path) => ({
  name: `conditional requests of ${path}`,
  steps: [
    get(path),
    ...[
      (tag: string) => tag,
      (tag: string) => `W/${tag}`,
      (tag: string) => `"other", ${tag}`,
      () => '*',
      () => ' * ',
    ].map(
      (header): Step => ({
        request: ({ answers }) => ({ path, headers: { 'if-none-match': header(headerOf(answers[0], 'etag')) } }),
        status: 304,
      }),
    ),
    get(path, 200, { 'if-none-match': '"other"' }),
    get(path, 200, { 'if-none-match': 'nonsense' }),
    get(path, 200, { 'if-none-match': '' }),
    get(path, 200, { 'if-modified-since': 'Fri, 01 Jan 2100 00:00:00 GMT' }),
    {
      request: ({ answers }) => ({ method: 'HEAD', path, headers: { 'if-none-match': headerOf(answers[0], 'etag') } }),
      status: 304,
    },
  ],
}));

const invalid: Scenario[] = [
  refused('a limit', [
    'limit=0',
    'limit=101',
    'limit=-1',
    'limit=ten',
    'limit=',
    'limit=1.5',
    'limit=1e1',
    'limit=99999999999999999',
  ]),
  refused('a price', [
    'min_price_cents=-1',
    'max_price_cents=1000000001',
    'min_price_cents=1.5',
    'max_price_cents=',
    'min_price_cents=x&max_price_cents=y',
  ]),
  refused('a rating', ['min_rating=5.01', 'min_rating=-1', 'min_rating=4.123', 'min_rating=', 'min_rating=four']),
  refused('a sort', ['sort=', 'sort=Name', 'sort=-rating', 'sort=price,name']),
  refused('a category', [
    'category=',
    'category=Kitchen',
    'category=a--b',
    `category=${'a'.repeat(101)}`,
    'category=%00',
  ]),
  refused('a search', [`q=${'a'.repeat(101)}`, 'q=a+b+c+d+e+f+g+h+i', 'q=%00']),
  refused('what is given twice or not known', [
    'limit=1&limit=2',
    'sort=name&sort=price',
    'q=a&q=b',
    'min_price_cents=1&min_price_cents=2',
    'page=2',
    'in_stock=true&colour=red',
    'limit=0&sort=x&page=1&min_rating=9',
    'q[a]=b',
  ]),
  refused('a cursor', [
    'cursor=',
    'cursor=nonsense',
    'cursor=%25',
    'cursor=e30',
    'cursor=bnVsbA',
    `cursor=${Buffer.from('{"k":"a","i":0,"f":"x"}').toString('base64url')}`,
    `cursor=${Buffer.from('{"k":"2024-01-01T00:00:00.000Z","i":1,"f":"x"}').toString('base64url')}`,
    `cursor=${'a'.repeat(1001)}`,
    `cursor=${'a'.repeat(2001)}`,
  ]),
  {
    name: 'a cursor of another list is refused',
    steps: [
      get('/api/products?limit=2&sort=name'),
      ...['sort=price', 'sort=-name', 'sort=name&category=kitchen', 'q=pan&sort=name'].map(
        (query): Step => ({
          request: ({ answers }) => ({ path: `/api/products?${query}&cursor=${cursorOf(answers[0]?.json)}` }),
          status: 400,
        }),
      ),
      {
        request: ({ answers }) => ({ path: `/api/products/1/reviews?cursor=${cursorOf(answers[0]?.json)}` }),
        status: 400,
      },
    ],
  },
  {
    name: 'a cursor goes with another limit',
    steps: [
      get('/api/products?limit=2'),
      {
        request: ({ answers }) => ({ path: `/api/products?limit=50&cursor=${cursorOf(answers[0]?.json)}` }),
        status: 200,
      },
    ],
  },
  {
    name: 'ids that are none are refused',
    steps: ['0', '-1', 'x', '1.0', '1e3', '%20', '99999999999999999', '9007199254740993', '0x1', 'null'].flatMap(
      (id) => [get(`/api/products/${id}`, 400), get(`/api/products/${id}/reviews`, 400)],
    ),
  },
  {
    name: 'queries of reviews that are refused',
    steps: ['limit=0', 'limit=x', 'cursor=x', 'sort=name', 'limit=1&limit=2'].map((query) =>
      get(`/api/products/1/reviews?${query}`, 400),
    ),
  },
  {
    name: 'a query on one product or on the categories is of no account',
    steps: [get('/api/products/1?limit=0&x=y'), get('/api/categories?x=y')],
  },
];

const notThere: Scenario[] = [
  {
    name: 'products and reviews that there are not',
    steps: [
      get('/api/products/999999', 404),
      get('/api/products/999999/reviews', 404),
      get('/api/products/9007199254740991', 404),
    ],
  },
  {
    name: 'routes that there are not',
    steps: [
      '/api/products/1/nothing',
      '/api/products/1/reviews/1/nothing',
      '/api/categories/1/nothing',
      '/api/categories/1',
      '/api/products/1/reviews/1',
      '/api/product',
      '/api/products//1',
      '/api/categories/x/y/z?token=secret',
    ].map((path) => get(path, 404)),
  },
  {
    name: 'paths that do not decode',
    steps: [get('/api/products/%zz', 400), get('/api/products/%E0%A4%A/reviews', 400)],
  },
  {
    name: 'methods that a path does not have',
    steps: [
      ...['PUT', 'PATCH', 'DELETE'].map((method) => other(method, '/api/products')),
      other('POST', '/api/products/1'),
      ...['PUT', 'PATCH', 'DELETE'].map((method) => other(method, '/api/products/1/reviews')),
      ...['PATCH', 'POST'].map((method) => other(method, '/api/categories/1')),
      other('DELETE', '/api/categories'),
      other('PUT', '/api/products/1/reviews/1'),
      other('PROPFIND', '/api/products/1'),
    ],
  },
];

/** Nothing but a program asks for this, and a proxy does not pass it on. */
export const traceScenario: Scenario = { name: 'TRACE is not served', steps: [other('TRACE', '/api/products')] };

const forms: Scenario[] = [
  {
    name: 'HEAD has the headers of GET and no body',
    steps: [
      ...[
        '/api/products',
        '/api/products?limit=2&sort=price',
        '/api/products/1',
        '/api/categories',
        '/api/products/1/reviews',
      ].map((path): Step => ({ request: { method: 'HEAD', path }, status: 200 })),
      { request: { method: 'HEAD', path: '/api/products/999999' }, status: 404 },
      { request: { method: 'HEAD', path: '/api/products?limit=0' }, status: 400 },
    ],
  },
  {
    name: 'OPTIONS says what a path can do',
    steps: [
      '/api/products',
      '/api/products/1',
      '/api/products/1/reviews',
      '/api/products/1/reviews/1',
      '/api/categories',
      '/api/categories/1',
    ].map((path): Step => ({ request: { method: 'OPTIONS', path }, status: 200 })),
  },
  {
    name: 'a slash at the end and capitals make no difference',
    steps: [
      get('/api/products/'),
      get('/API/Products/1/'),
      get('/Api/Categories/'),
      get('/api/PRODUCTS/1/Reviews/'),
      get('/api/products/?limit=2'),
    ],
  },
  {
    name: 'what a client would like to have is not asked',
    steps: [
      get('/api/products/1', 200, { accept: 'text/html' }),
      get('/api/products/1', 200, { 'accept-encoding': 'gzip, br' }),
      get('/api/products/1', 200, { range: 'bytes=0-9' }),
      get('/api/products/1', 200, { authorization: 'Bearer nonsense' }),
      get('/api/categories', 200, { origin: 'https://elsewhere.example' }),
    ],
  },
];

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** A product that may be archived. */
function shownOrNot(id: number): Step {
  return get(`/api/products/${id}`);
}

function refused(what: string, queries: string[]): Scenario {
  return {
    name: `${what} that is refused in the list`,
    steps: queries.map((query) => get(`/api/products?${query}`, 400)),
  };
}

function other(method: string, path: string): Step {
  return { request: { method, path }, status: 404 };
}

function cursorOf(page: unknown): string {
  return (page as { next_cursor: string }).next_cursor;
}

/** Scenarios that change nothing. */
export const readScenarios: readonly Scenario[] = [
  ...lists,
  ...details,
  ...conditional,
  ...invalid,
  ...notThere,
  ...forms,
];
