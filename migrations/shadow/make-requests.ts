import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import type { SentRequest } from '../http/side.ts';
import type { ApiOperation } from '../openapi/operation.ts';
import { bodyOf, valuesOf } from './sample-values.ts';
import type { WantedCell } from './wanted-cells.ts';

/** Requests that may bring answers of a cell, or why there are none. */
export type Candidates = { requests: SentRequest[]; cannot: string | null };

export type RequestMaker = {
  candidates(cell: WantedCell, operation: ApiOperation, headers: Readonly<Record<string, string>>): Promise<Candidates>;
};

const mostPaths = 20;
const mostRequests = 60;
const noSuchId = '999999999';

/**
 * Makes requests by an OpenAPI description. Ids in paths are the description's examples, or are looked up in the collection
 * before them, by `ask`: `/api/products/:id` by the ids that `GET /api/products` lists.
 */
export const createRequestMaker = (ask: (request: SentRequest) => Promise<ComparedAnswer | null>): RequestMaker => {
  const listed = new Map<string, Promise<string[]>>();

  const idsListedAt = (path: string, name: string, headers: SentRequest['headers']): Promise<string[]> => {
    const key = `${path} ${name} ${headers.authorization ?? ''}`;
    const known = listed.get(key);
    if (known !== undefined) return known;
    const asked = ask(getAt(path, headers)).then((answer) =>
      answer?.status === 200 && answer.body.kind === 'json' ? idsIn(answer.body.value, name) : [],
    );
    listed.set(key, asked);
    return asked;
  };

  const valuesOfSegment = async (
    operation: ApiOperation,
    name: string,
    before: string,
    headers: SentRequest['headers'],
  ): Promise<string[]> => {
    const parameter = operation.parameters.find((one) => one.in === 'path' && one.name === name);
    const examples = parameter === undefined ? [] : parameter.examples;
    if (examples.length > 0) return valuesOf({ schema: {}, examples });
    const found = await idsListedAt(before, name, headers);
    return found.length > 0 || parameter === undefined ? found : valuesOf(parameter);
  };

  const pathsOf = async (operation: ApiOperation, headers: SentRequest['headers']): Promise<Candidates> => {
    let paths = [''];
    for (const segment of operation.route.split('/').slice(1)) {
      if (!segment.startsWith(':')) {
        paths = paths.map((path) => `${path}/${segment.replace(/\*$/, '')}`);
        continue;
      }
      const longer: string[] = [];
      for (const path of paths) {
        if (longer.length >= mostPaths) break;
        const values = await valuesOfSegment(operation, segment.slice(1), path, headers);
        longer.push(...values.map((value) => `${path}/${encodeURIComponent(value)}`));
      }
      if (longer.length === 0) {
        return {
          requests: [],
          cannot: `no value is known for ${segment} after ${paths[0]}: no example, and no id listed there`,
        };
      }
      paths = longer.slice(0, mostPaths);
    }
    return { requests: paths.map((path) => ({ method: operation.method, path, headers, body: null })), cannot: null };
  };

  const succeeding = async (operation: ApiOperation, headers: SentRequest['headers']): Promise<Candidates> => {
    const query = requiredQuery(operation);
    if (typeof query === 'string') return { requests: [], cannot: query };
    const { requests, cannot } = await pathsOf(operation, headers);
    if (cannot !== null) return { requests: [], cannot };
    const variants = [query, ...optionalQueries(operation).map((one) => [...query, one])];
    const made = requests.flatMap(({ path }) => variants.map((pairs) => withQuery(path, pairs)));
    // One of every path before the second variant of any.
    const spread = variants.flatMap((_, variant) => made.filter((_path, at) => at % variants.length === variant));
    const paths = spread.slice(0, mostRequests);
    if (operation.method === 'GET' || operation.method === 'HEAD') {
      return { requests: paths.map((path) => ({ method: operation.method, path, headers, body: null })), cannot: null };
    }
    return await withBodies(operation, paths, headers);
  };

  const withBodies = async (
    operation: ApiOperation,
    paths: readonly string[],
    headers: SentRequest['headers'],
  ): Promise<Candidates> => {
    const { bodies, method } = operation;
    const body = bodies[0] ?? null;
    const made: SentRequest[] = [];
    // What makes something is told anew each time: the second of two that are alike is mostly a conflict.
    const times = method === 'POST' && body !== null ? Math.ceil(mostPaths / paths.length) : 1;
    const needsMatch = operation.parameters.some(
      ({ in: where, name, required }) => where === 'header' && required && /^if-match$/i.test(name),
    );
    for (const path of paths.flatMap((one) => Array.from({ length: times }, () => one))) {
      const content = body === null ? undefined : (body.example ?? bodyOf(body.schema));
      if (body !== null && content === undefined)
        return { requests: [], cannot: 'its body has no example and none can be made' };
      const etag = needsMatch ? etagOf(await ask(getAt(path, headers))) : undefined;
      if (needsMatch && etag === undefined) continue;
      made.push({
        method,
        path,
        headers: {
          ...headers,
          ...(body === null ? {} : { 'content-type': body.mediaType }),
          ...(etag === undefined ? {} : { 'if-match': etag }),
        },
        body: content === undefined ? null : JSON.stringify(content),
      });
    }
    return made.length > 0
      ? { requests: made, cannot: null }
      : { requests: [], cannot: 'it wants If-Match, and GET there gives no ETag' };
  };

  const unchanged = async (operation: ApiOperation, headers: SentRequest['headers']): Promise<Candidates> => {
    if (operation.method !== 'GET' && operation.method !== 'HEAD') {
      return { requests: [], cannot: 'a redirect of a write cannot be brought about' };
    }
    const { requests, cannot } = await succeeding(operation, headers);
    if (cannot !== null) return { requests: [], cannot };
    const made: SentRequest[] = [];
    for (const request of requests.slice(0, mostPaths)) {
      const etag = etagOf(await ask({ ...request, method: 'GET' }));
      if (etag !== undefined) made.push({ ...request, headers: { ...request.headers, 'if-none-match': etag } });
    }
    return made.length > 0
      ? { requests: made, cannot: null }
      : { requests: [], cannot: 'its answers have no ETag to ask again with' };
  };

  const refused = async (operation: ApiOperation, headers: SentRequest['headers']): Promise<Candidates> => {
    const { method, route: path } = operation;
    const query = requiredQuery(operation);
    const pairs = typeof query === 'string' ? [] : query;
    const made: string[] = [];
    if (path.includes(':')) {
      const good = (await pathsOf(operation, headers)).requests[0]?.path;
      const strange = path.replace(/:[^/]+/g, 'no-such-thing');
      // Only the last id is wrong, where the others are known: a route may well look them up one after the other.
      const last = good === undefined ? path.replace(/:[^/]+/g, noSuchId) : replaceLastId(path, good);
      made.push(withQuery(last, pairs), withQuery(strange, pairs));
    } else {
      made.push(withQuery(path, [...pairs, ['strangler_no_such_parameter', '1']]));
    }
    for (const { name, schema } of operation.parameters.filter(({ in: where }) => where === 'query')) {
      if (schema.type === 'integer' || schema.type === 'number')
        made.push(withQuery(made[0]!.split('?')[0]!, [[name, 'no-number']]));
    }
    // A write that fails only by what the path says would still have to be well-formed: an empty body is refused everywhere.
    return { requests: made.map((one) => ({ method, path: one, headers, body: null })), cannot: null };
  };

  return {
    async candidates({ statusClass }, operation, headers) {
      if (statusClass === '3xx') return await unchanged(operation, headers);
      if (statusClass === '4xx') return await refused(operation, headers);
      return await succeeding(operation, headers);
    },
  };
};

/** Ids in a list, wherever it stands in the answer: by the parameter's name, or `id`, `uuid`, `slug`, `key`. */
const idsIn = (value: unknown, name: string): string[] => {
  const lists = Array.isArray(value) ? [value] : Object.values(Object(value)).filter((one) => Array.isArray(one));
  const ids = lists.flat().flatMap((element) => {
    const members = Object(element) as Record<string, unknown>;
    const id = [name, 'id', 'uuid', 'slug', 'key'].map((one) => members[one]).find((one) => one !== undefined);
    return typeof id === 'string' || typeof id === 'number' ? [String(id)] : [];
  });
  return [...new Set(ids)].slice(0, mostPaths);
};

const getAt = (path: string, headers: SentRequest['headers']): SentRequest => ({
  method: 'GET',
  path,
  headers,
  body: null,
});

type Pair = readonly [name: string, value: string];

/** Or which one has no value. */
const requiredQuery = ({ parameters }: ApiOperation): Pair[] | string => {
  const pairs: Pair[] = [];
  for (const parameter of parameters.filter(({ in: where, required }) => where === 'query' && required)) {
    const [value] = valuesOf(parameter);
    if (value === undefined) return `the query parameter ${parameter.name} is required and has no example`;
    pairs.push([parameter.name, value]);
  }
  return pairs;
};

/** Opaque ones are left out: what a cursor may be is known by whoever gave it. */
const optionalQueries = ({ parameters }: ApiOperation): Pair[] =>
  parameters
    .filter(({ in: where, required, name }) => where === 'query' && !required && !/cursor|token/i.test(name))
    .flatMap((parameter) => valuesOf(parameter).map((value) => [parameter.name, value] as const));

const withQuery = (path: string, pairs: readonly Pair[]): string =>
  pairs.length === 0
    ? path
    : `${path}?${new URLSearchParams(pairs.map(([name, value]): [string, string] => [name, value])).toString()}`;

const replaceLastId = (template: string, good: string): string => {
  const segments = template.split('/');
  const last = segments.findLastIndex((segment) => segment.startsWith(':'));
  return good
    .split('/')
    .map((segment, at) => (at === last ? noSuchId : segment))
    .join('/');
};

const etagOf = (answer: ComparedAnswer | null): string | undefined =>
  answer?.headers.find(([name]) => name.toLowerCase() === 'etag')?.[1];
