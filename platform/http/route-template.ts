import type { Request } from 'express';

const watched = new WeakMap<Request, () => string | undefined>();

/**
 * Tells the template of the route that took a request, such as `/api/products/:id`; undefined while none has. Notes it at
 * the moment Express sets it: when a handler fails, Express has put `baseUrl` back by the time the answer ends.
 */
export function routeTemplateOf(req: Request): () => string | undefined {
  const known = watched.get(req);
  if (known !== undefined) return known;
  let template: string | undefined;
  let route: Request['route'];
  Object.defineProperty(req, 'route', {
    configurable: true,
    enumerable: true,
    get: () => route,
    set: (value: Request['route']) => {
      route = value;
      template = `${mountTemplate(req.baseUrl)}${pathTemplate(value?.path)}`;
    },
  });
  const tell = () => template;
  watched.set(req, tell);
  return tell;
}

function pathTemplate(path: unknown): string {
  if (typeof path === 'string') return path === '/' ? '' : path;
  return Array.isArray(path) ? path.map(String).join('|') : String(path);
}

/** Express keeps the path that a router was mounted under as it was requested: what is not a plain word in it goes. */
function mountTemplate(baseUrl: string): string {
  return baseUrl
    .split('/')
    .map((step) => (step === '' || /^([a-z][a-z_.-]*|v\d{1,2})$/i.test(step) ? step : ':param'))
    .join('/');
}
