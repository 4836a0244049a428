import type { Fault, FaultHooks, FaultyAnswer, FaultyRequest, FaultyStatement } from './fault.ts';

type Json = Record<string, unknown>;

const onAnswer =
  (change: (answer: FaultyAnswer, request: FaultyRequest) => void): (() => FaultHooks) =>
  () => ({ answer: change });
const onRequest =
  (change: (request: FaultyRequest) => void): (() => FaultHooks) =>
  () => ({ request: change });

/** Changes JSON bodies of answers that are no errors. */
const onJson = (change: (body: Json, request: FaultyRequest) => void): (() => FaultHooks) =>
  onAnswer((answer, request) => {
    if (answer.status >= 300 || !answer.text.startsWith('{')) return;
    const body = JSON.parse(answer.text) as Json;
    change(body, request);
    answer.text = JSON.stringify(body);
  });

const onStatement =
  (pattern: RegExp, change: (statement: FaultyStatement) => readonly FaultyStatement[]): (() => FaultHooks) =>
  () => ({ statement: (statement) => (pattern.test(statement.sql) ? change(statement) : [statement]) });

const onSql = (pattern: RegExp, change: (sql: string) => string): (() => FaultHooks) =>
  onStatement(pattern, ({ sql, values }) => [{ sql: change(sql), values }]);

const itemsOf = (body: Json): Json[] => (Array.isArray(body.items) ? (body.items as Json[]) : []);
const isList = ({ method, url }: FaultyRequest): boolean => method === 'GET' && /^\/api\/products(\?|$)/.test(url);
const isOne = ({ method, url }: FaultyRequest): boolean => method === 'GET' && /^\/api\/products\/\d+$/.test(url);
const bodyOf = ({ body }: FaultyRequest): Json | undefined =>
  typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Json) : undefined;
const outbox = /INSERT INTO strangler_outbox\b/i;
const nothing = { sql: 'DO 0', values: [] };

/** The outbox statement's event type stands in its topic. */
const onEvent = (
  type: string,
  change: (statement: FaultyStatement) => readonly FaultyStatement[],
): (() => FaultHooks) =>
  onStatement(outbox, (statement) => (statement.values.includes(`shop.${type}`) ? change(statement) : [statement]));

/** The column of the UPDATE of products that sets a rating or a version: what it is set to. */
const onSet = (column: string, pattern: RegExp, change: (value: number) => unknown): (() => FaultHooks) =>
  onStatement(pattern, ({ sql, values }) => {
    const columns = [...(/SET (.*) WHERE/s.exec(sql)?.[1] ?? '').matchAll(/(\w+) = \?/g)].map(([, name]) => name);
    const at = columns.indexOf(column);
    return [{ sql, values: at < 0 ? values : values.with(at, change(Number(values[at]))) }];
  });

const productUpdate = /^UPDATE products SET .*version = \?/s;
const ratingUpdate = /^UPDATE products SET rating_sum/s;

/** Ways in which an extracted catalogue could differ from the shop's. Every one is a mistake that has been made somewhere. */
export const faults: Readonly<Record<string, Fault>> = {
  // Lists and pages.
  'page-repeats-item': {
    says: 'the page after a cursor begins with the last item of the page before',
    seenAt: /\$\.items|header etag/,
    plant: onSql(/ OR id [<>] \?/, (sql) => sql.replace(/ OR id ([<>]) \?/, ' OR id $1= ?')),
  },
  'page-too-long': {
    says: 'a page has one item more than its limit',
    seenAt: /\$\.items|header etag/,
    plant: onRequest((request) => {
      if (request.method === 'GET')
        request.url = request.url.replace(/\blimit=(\d+)/, (_, n) => `limit=${Number(n) + 1}`);
    }),
  },
  'cursor-never-ends': {
    says: 'the last page has a cursor',
    seenAt: /\$\.next_cursor/,
    plant: onJson((body) => {
      if (body.next_cursor === null) body.next_cursor = 'eyJrIjoxfQ';
    }),
  },
  'cursor-ends-early': {
    says: 'no page has a cursor',
    seenAt: /\$\.next_cursor/,
    plant: onJson((body) => {
      if ('next_cursor' in body) body.next_cursor = null;
    }),
  },
  'ties-in-other-order': {
    says: 'products of the same age are listed in the order of their ids',
    seenAt: /\$\.items|header etag/,
    plant: onSql(/created_at DESC, id DESC LIMIT/, (sql) => sql.replace('id DESC', 'id ASC')),
  },
  'price-order-reversed': {
    says: 'sort=price lists the dearest first',
    seenAt: /\$\.items|header etag/,
    plant: onRequest((request) => {
      if (isList(request)) request.url = request.url.replace(/\bsort=price\b/, 'sort=-price');
    }),
  },
  'last-filter-lost': {
    says: 'the upper bound on prices is not heeded',
    seenAt: /\$\.items|header etag/,
    plant: onStatement(/ AND price_cents <= \?/, ({ sql, values }) => {
      const before = sql.slice(0, sql.indexOf(' AND price_cents <= ?')).split('?').length - 1;
      return [{ sql: sql.replace(' AND price_cents <= ?', ''), values: values.toSpliced(before, 1) }];
    }),
  },
  'search-by-case': {
    says: 'words are found only as they are written',
    seenAt: /\$\.items|header etag/,
    plant: onSql(/name LIKE \?/, (sql) => sql.replaceAll(/(name|sku) LIKE \?/g, '$1 COLLATE utf8mb4_bin LIKE ?')),
  },
  'inactive-listed': {
    says: 'products that are not active are listed',
    seenAt: /\$\.items|header etag/,
    plant: onSql(/WHERE listed = 1/, (sql) => sql.replace('listed = 1', 'archived_at IS NULL')),
  },
  'archived-shown': {
    says: 'a deleted product can still be read',
    seenAt: /^status$/,
    plant: onSql(/^SELECT id, sku.* WHERE id = \? AND archived_at IS NULL$/s, (sql) =>
      sql.replace(' AND archived_at IS NULL', ''),
    ),
  },
  'tree-order': {
    says: 'categories are listed by id and not by name',
    seenAt: /\$\.items|header etag/,
    plant: onSql(/ORDER BY c\.name, c\.id/, (sql) => sql.replace('c.name, c.id', 'c.id')),
  },
  // Values.
  'extra-field': {
    says: 'a product has a member that it should not have',
    seenAt: /\$\.internal|header etag/,
    plant: onJson((body) => {
      if ('sku' in body) body.internal = true;
    }),
  },
  'money-as-text': {
    says: 'prices are texts',
    seenAt: /\$\.(items\[\*\]\.)?price_cents/,
    plant: onJson((body) => {
      for (const one of [body, ...itemsOf(body)]) if ('price_cents' in one) one.price_cents = `${one.price_cents}`;
    }),
  },
  'null-left-out': {
    says: 'a member that is null is left out',
    seenAt: /\$\.(items\[\*\]\.)*parent_id/,
    plant: onJson((body) => {
      if (body.parent_id === null) delete body.parent_id;
    }),
  },
  'empty-made-null': {
    says: 'a product without attributes shows null in their place',
    seenAt: /\$\.(items\[\*\]\.)?attributes/,
    plant: onJson((body) => {
      const { attributes } = body;
      if (attributes !== undefined && Object.keys(attributes as Json).length === 0) body.attributes = null;
    }),
  },
  'wrong-default': {
    says: 'a product without a currency is sold for dollars',
    seenAt: /currency|^row/,
    plant: onRequest((request) => {
      const body = bodyOf(request);
      if (/^P(OS|U)T$/.test(request.method) && body && 'sku' in body) body.currency ??= 'USD';
    }),
  },
  'rating-cut-off': {
    says: 'averages of ratings are cut off, not rounded',
    seenAt: /rating|^row|header etag/,
    plant: onStatement(ratingUpdate, ({ sql, values }) => {
      const [sum, count] = values.map(Number) as [number, number];
      return [{ sql, values: values.with(2, count === 0 ? 0 : Math.floor((100 * sum) / count) / 100) }];
    }),
  },
  'review-still-counted': {
    says: 'a deleted review still counts',
    seenAt: /rating|^row|header etag/,
    plant() {
      let deleting = false;
      return {
        statement(statement) {
          if (/^DELETE FROM reviews/.test(statement.sql)) deleting = true;
          if (!deleting || !ratingUpdate.test(statement.sql)) return [statement];
          deleting = false;
          return [{ sql: statement.sql, values: statement.values.with(1, Number(statement.values[1]) + 1) }];
        },
      };
    },
  },
  // Heads.
  'cache-control-lost': {
    says: 'answers may be cached for as long as a cache likes',
    seenAt: /^header cache-control$/,
    plant: onAnswer(({ headers }) => {
      delete headers['cache-control'];
    }),
  },
  'location-lost': {
    says: 'nobody is told where what was made is',
    seenAt: /^header location$/,
    plant: onAnswer(({ headers }) => {
      delete headers.location;
    }),
  },
  'weak-etag': {
    says: 'entity tags are weak',
    seenAt: /^header etag$/,
    plant: onAnswer(({ headers }) => {
      if (headers.etag !== undefined) headers.etag = `W/${String(headers.etag)}`;
    }),
  },
  'challenge-lost': {
    says: 'a 401 does not say how to authenticate',
    seenAt: /^header www-authenticate$/,
    plant: onAnswer(({ headers }) => {
      delete headers['www-authenticate'];
    }),
  },
  'problem-as-json': {
    says: 'problems are not said to be problems',
    seenAt: /^header content-type$/,
    plant: onAnswer((answer) => {
      if (answer.status >= 400) answer.headers['content-type'] = 'application/json; charset=utf-8';
    }),
  },
  'if-none-match-ignored': {
    says: 'a client that has it already is sent it again',
    seenAt: /^status$/,
    plant: onRequest(({ headers }) => {
      delete headers['if-none-match'];
    }),
  },
  // Statuses and errors.
  'created-is-ok': {
    says: 'what was made is answered with 200',
    seenAt: /^status$/,
    plant: onAnswer((answer) => {
      if (answer.status === 201) answer.status = 200;
    }),
  },
  'conflict-is-bad-request': {
    says: 'a conflict is answered with 400',
    seenAt: /^status$/,
    plant: onAnswer((answer) => {
      if (answer.status === 409) answer.status = 400;
    }),
  },
  'errors-not-listed': {
    says: 'a validation problem does not say which values are wrong',
    seenAt: /\$\.errors/,
    plant: onAnswer((answer) => {
      if (answer.status !== 400 || !answer.text.startsWith('{')) return;
      const { errors: _errors, ...rest } = JSON.parse(answer.text) as Json;
      answer.text = JSON.stringify(rest);
    }),
  },
  'stale-write-taken': {
    says: 'a write on a version that is gone is taken, and another’s change is lost',
    seenAt: /^status$/,
    plant: onRequest(({ headers }) => {
      if (headers['if-match'] !== undefined) headers['if-match'] = '*';
    }),
  },
  'precondition-not-asked': {
    says: 'a write without If-Match is taken',
    seenAt: /^status$/,
    plant: onRequest(({ headers }) => {
      headers['if-match'] ??= '*';
    }),
  },
  'validation-forgotten': {
    says: 'unknown members are taken and dropped',
    seenAt: /^status$|\$\.errors/,
    plant: onRequest((request) => {
      const known =
        /^(sku|name|description|category_id|price_cents|currency|attributes|active|slug|parent_id|rating|title|body)$/;
      const body = bodyOf(request);
      for (const name of Object.keys(body ?? {})) if (!known.test(name)) delete body?.[name];
    }),
  },
  // What stays, and what is told.
  'written-twice': {
    says: 'a change is applied twice',
    seenAt: /version|header etag|^row/,
    plant: onSet('version', productUpdate, (version) => version + 1),
  },
  'time-not-kept': {
    says: 'when a category was changed is not kept; no answer shows it',
    seenAt: /^row/,
    plant: onStatement(/^UPDATE categories SET/, ({ sql, values }) => [
      { sql: sql.replace(', updated_at = ?', ''), values: values.toSpliced(3, 1) },
    ]),
  },
  'event-missing': {
    says: 'nobody is told that a product has changed',
    seenAt: /^event product\.changed/,
    plant: onEvent('product.changed', () => [nothing]),
  },
  'event-twice': {
    says: 'a new category is told of twice',
    seenAt: /^event category\.created/,
    plant: onEvent('category.created', (statement) => [statement, statement]),
  },
  'event-wrong': {
    says: 'the event of a new product has another price',
    seenAt: /^event product\.created/,
    plant: onEvent('product.created', ({ sql, values }) => [
      {
        sql,
        values: values.map((value) =>
          typeof value === 'string' ? value.replace(/"price_cents":\d+/, '"price_cents":0.5') : value,
        ),
      },
    ]),
  },
  // Time.
  'stale-read': {
    says: 'a product is shown as it was before the last write',
    seenAt: /\$|header etag|^status$/,
    plant() {
      const kept = new Map<string, FaultyAnswer>();
      return {
        answer(answer, request) {
          if (!isOne(request) || answer.status !== 200) return;
          const before = kept.get(request.url);
          if (before === undefined) kept.set(request.url, structuredClone(answer));
          else Object.assign(answer, structuredClone(before));
        },
      };
    },
  },
  'slow-list': {
    says: 'lists take a second and a half',
    seenAt: /^latency$/,
    plant: () => ({ delayMs: (request) => (isList(request) ? 1500 : 0) }),
  },
};
