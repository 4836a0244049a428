import type { Slice, SliceRoute } from '@strangler/platform/contracts/slice-file.ts';
import findMyWay, { type HTTPMethod } from 'find-my-way';

/** The route of a slice that claims a request. */
export type ClaimedRoute = {
  slice: string;
  service: string;
  /** `GET`, or whatever the slice file says. */
  method: string;
  /** The template in the slice file, `/api/products/:id`. */
  template: string;
  access: SliceRoute['access'];
  stickyBy: readonly string[];
};

export type RouteTable = {
  /** The route that claims a request; null where no slice does. `path` is without query, as received. */
  match(method: string, path: string): ClaimedRoute | null;
  slices: readonly Slice[];
};

/** Two slices claim the same requests; the message names every such pair. */
export class RouteConflictError extends Error {
  override name = 'RouteConflictError';
}

/**
 * Builds the table that says which slice a request belongs to: the most specific template wins, case and a trailing slash do
 * not matter, as in Express's own router, and HEAD is served by GET's route. Methods and paths unknown to every slice are the monolith's.
 * @throws RouteConflictError where the same method and template stand in two slices, or twice in one.
 */
export const buildRouteTable = (slices: readonly Slice[]): RouteTable => {
  const router = findMyWay({ caseSensitive: false, ignoreTrailingSlash: true, maxParamLength: 2048 });
  const owners = new Map<string, string>();
  const conflicts: string[] = [];

  for (const { slice, service, stickyBy, routes } of slices) {
    for (const { method, path, access } of routes) {
      const identity = `${method} ${path
        .replaceAll(/:[^/]+/g, ':')
        .toLowerCase()
        .replace(/(.)\/$/, '$1')}`;
      const owner = owners.get(identity);
      if (owner !== undefined) {
        conflicts.push(
          `${method} ${path} is claimed by slice "${owner}" and again by slice "${slice}"; leave it in one`,
        );
        continue;
      }
      owners.set(identity, slice);
      const claimed: ClaimedRoute = { slice, service, method, template: path, access, stickyBy };
      router.on(method as HTTPMethod, path, nothing, claimed);
    }
  }
  if (conflicts.length > 0) throw new RouteConflictError(conflicts.join('\n'));

  const find = (method: string, path: string): ClaimedRoute | null =>
    (router.find(method as HTTPMethod, path)?.store as ClaimedRoute | undefined) ?? null;

  return {
    slices,
    match: (method, path) => find(method, path) ?? (method === 'HEAD' ? find('GET', path) : null),
  };
};

const nothing = (): void => {};
