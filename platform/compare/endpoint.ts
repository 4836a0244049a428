/** The routes of a slice, as groups of differences are named by them. */
export type Endpoints = {
  /** "GET /api/products/:id" for a request; null where no route has it. `path` may carry a query. */
  of(method: string, path: string): string | null;
  readonly all: readonly string[];
};

export type EndpointRoute = { method: string; path: string };

/** `/products/{id}` as OpenAPI writes it becomes `/products/:id`. */
export const pathOfOpenApi = (path: string): string => path.replace(/\{([^}/]+)\}/g, ':$1');

/** The most exact route wins: letters before a parameter before `*`, segment by segment. */
export const createEndpoints = (routes: readonly EndpointRoute[]): Endpoints => {
  const compiled = routes
    .map(({ method, path }) => ({ method, segments: segmentsOf(path), name: `${method} ${path}` }))
    .sort((one, other) => compareExactness(one.segments, other.segments));
  return {
    of(method, path) {
      const segments = segmentsOf(path.replace(/[?#].*$/s, ''));
      return compiled.find((route) => route.method === method && fits(route.segments, segments))?.name ?? null;
    },
    all: [...new Set(routes.map(({ method, path }) => `${method} ${path}`))],
  };
};

const segmentsOf = (path: string): string[] => path.split('/').slice(1);

const rank = (segment: string | undefined): number => {
  if (segment === undefined) return 1;
  if (segment.endsWith('*')) return 3;
  return segment.startsWith(':') ? 2 : 0;
};

const compareExactness = (one: readonly string[], other: readonly string[]): number => {
  for (let at = 0; at < Math.max(one.length, other.length); at += 1) {
    const difference = rank(one[at]) - rank(other[at]);
    if (difference !== 0) return difference;
  }
  return 0;
};

const fits = (route: readonly string[], path: readonly string[]): boolean => {
  for (const [at, segment] of route.entries()) {
    if (segment.endsWith('*')) return path.length > at && path[at]!.startsWith(segment.slice(0, -1));
    const found = path[at];
    if (found === undefined || (segment.startsWith(':') ? found === '' : found !== segment)) return false;
  }
  return route.length === path.length;
};
