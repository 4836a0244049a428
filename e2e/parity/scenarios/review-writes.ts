import { idIn } from '../exchange.ts';
import { get, type Scenario, type Step, type Told, write } from '../scenario.ts';

const product: Step = write('POST', '/api/products', 201, {
  as: 'admin',
  body: { sku: 'PARITY-1', name: 'Something new', category_id: 9, price_cents: 100 },
});
/** Of the product that the scenario began with. */
const reviews = ({ answers }: Told): string => `/api/products/${idIn(answers[0])}/reviews`;
const review = (as: 'customer' | 'otherCustomer' | 'third' | 'admin' | 'nobody', body: unknown, status = 201): Step =>
  write('POST', reviews, status, { as, body });
const good = { rating: 5, title: 'Good', body: 'It does what it should.' };
const read: Step[] = [
  { request: (told) => ({ path: reviews(told) }), status: 200 },
  { request: (told) => ({ path: reviews(told).replace('/reviews', '') }), status: 200 },
];
/** The review that the answer with this number was. */
const reviewOf =
  (at: number) =>
  (told: Told): string =>
    `${reviews(told)}/${idIn(told.answers[at])}`;

export const reviewWriteScenarios: readonly Scenario[] = [
  {
    name: 'review a product, and its rating is counted',
    steps: [
      product,
      review('customer', good),
      ...read,
      review('otherCustomer', { ...good, rating: 2 }),
      ...read,
      get('/api/products?sort=rating&limit=100'),
    ],
  },
  {
    name: 'averages are rounded to two decimals, halves up',
    steps: [
      product,
      review('customer', { ...good, rating: 1 }),
      review('otherCustomer', { ...good, rating: 2 }),
      review('third', { ...good, rating: 2 }),
      ...read,
    ],
  },
  {
    name: 'one review a customer, and the id that a second one used up',
    steps: [product, review('customer', good), review('customer', good, 409), review('otherCustomer', good), ...read],
  },
  {
    name: 'text of reviews is put into one form',
    steps: [product, review('customer', { rating: 3, title: '  A \n title ', body: '  e\u0301 \n\n two ' }), ...read],
  },
  {
    name: 'reviews that are refused',
    steps: [
      product,
      ...[
        {},
        { rating: 0, title: '', body: '' },
        { rating: 6, title: 'a'.repeat(121), body: 'a'.repeat(5001) },
        { rating: 2.5, title: 7, body: null },
        { rating: '5', title: 't', body: 'b' },
        { ...good, author: 'me' },
        { ...good, title: '  ' },
        { ...good, body: '\u0000' },
        null,
        [],
      ].map((body) => review('customer', body, 400)),
      ...read,
    ],
  },
  {
    name: 'reviews of what there is not',
    steps: [
      write('POST', '/api/products/999999/reviews', 404, { as: 'customer', body: good }),
      write('POST', '/api/products/x/reviews', 400, { as: 'customer', body: good }),
      write('DELETE', '/api/products/999999/reviews/1', 404, { as: 'customer' }),
      write('DELETE', '/api/products/1/reviews/999999', 404, { as: 'customer' }),
      write('DELETE', '/api/products/1/reviews/x', 400, { as: 'customer' }),
      write('DELETE', '/api/products/x/reviews/0', 400, { as: 'customer' }),
    ],
  },
  {
    name: 'reviews by an account that there is not',
    steps: [
      product,
      review('nobody', good, 401),
      write('POST', '/api/products/999999/reviews', 404, { as: 'nobody', body: good }),
      write('DELETE', '/api/products/1/reviews/1', 403, { as: 'nobody' }),
    ],
  },
  { name: 'an admin does not review', steps: [product, review('admin', good, 403)] },
  {
    name: 'a customer deletes the own review and no other',
    steps: [
      product,
      review('customer', good),
      review('otherCustomer', { ...good, rating: 1 }),
      write('DELETE', reviewOf(2), 403, { as: 'customer' }),
      write('DELETE', reviewOf(1), 204, { as: 'customer' }),
      write('DELETE', reviewOf(1), 404, { as: 'customer' }),
      ...read,
      review('customer', { ...good, rating: 4 }),
      ...read,
    ],
  },
  {
    name: 'an admin deletes any review, to the last',
    steps: [product, review('customer', good), write('DELETE', reviewOf(1), 204, { as: 'admin' }), ...read],
  },
  {
    name: 'a review is deleted by the path of its own product only',
    steps: [
      product,
      review('customer', good),
      write('DELETE', ({ answers }) => `/api/products/1/reviews/${idIn(answers[1])}`, 404, {
        as: 'customer',
      }),
      ...read,
    ],
  },
];
