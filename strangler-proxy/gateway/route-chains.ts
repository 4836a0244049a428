import { METHODS } from 'node:http';
import findMyWay, { type HTTPMethod } from 'find-my-way';
import type { GatewayRoute } from './gateway-file.ts';
import type { Policy } from './policy.ts';

/** The policies of one route, taken apart once by what they do. */
export type Chain = {
  /** As in the file, `GET /api/products/:id`. */
  route: string;
  checks: readonly Policy[];
  interceptors: readonly Policy[];
  answering: readonly Policy[];
};

export type FindChain = (method: string, path: string) => Chain | null;

/**
 * Builds the table that says which policies a request meets: the most specific path wins, then the method over `*`. Case and
 * a trailing slash do not matter, as in the route table of the slices. A route of GET is one of HEAD too: what may not be
 * read must not be asked about either.
 */
export const buildChains = (routes: readonly GatewayRoute[], policyOf: (name: string) => Policy): FindChain => {
  const router = findMyWay({
    caseSensitive: false,
    ignoreTrailingSlash: true,
    maxParamLength: Number.MAX_SAFE_INTEGER,
  });
  const taken = new Set<string>();
  const put = (method: string, path: string, chain: Chain): void => {
    const place = `${method} ${path
      .replaceAll(/:[^/]+/g, ':')
      .toLowerCase()
      .replace(/(.)\/$/, '$1')}`;
    if (taken.has(place)) return;
    taken.add(place);
    router.on(method as HTTPMethod, path, nothing, chain);
  };
  const split = routes.map(({ route, policies }) => {
    const [method = '', path = ''] = route.split(' ');
    const all = policies.map(policyOf);
    const chain: Chain = {
      route,
      checks: all.filter((one) => one.check !== undefined),
      interceptors: all.filter((one) => one.intercept !== undefined),
      answering: all.filter((one) => one.answering !== undefined),
    };
    return { method, path, chain };
  });
  // What is told of one method comes before what follows from GET, and that before what is told of all.
  for (const { method, path, chain } of split) if (method !== '*') put(method, path, chain);
  for (const { method, path, chain } of split) if (method === 'GET') put('HEAD', path, chain);
  for (const { method, path, chain } of split) {
    if (method === '*') for (const one of METHODS) put(one, path, chain);
  }
  return (method, path) => (router.find(method as HTTPMethod, path)?.store as Chain | undefined) ?? null;
};

const nothing = (): void => {};

/** Whether a path says the same to every server: `unreadable` where its escapes are no text, so that no route can be looked up. */
export const pathReading = (path: string): 'plain' | 'ambiguous' | 'unreadable' => {
  if (path.includes('%')) {
    try {
      decodeURIComponent(path);
    } catch {
      return 'unreadable';
    }
  }
  return ambiguous.test(path) ? 'ambiguous' : 'plain';
};

/** Empty segments, dot segments, backslashes, and slashes and NUL behind an escape. */
const ambiguous = /\/\/|\\|%2f|%5c|%00|\/(?:\.|%2e){1,2}(?:[/;]|$)/i;
