/** The parameters that a path template names: `{id}` of the route, `{?page}` of the query. */
export type TemplateName = { from: 'path' | 'query'; name: string };

const placeholder = /\{(\??)([A-Za-z_][A-Za-z0-9_-]*)\}/g;

export function namesIn(template: string): TemplateName[] {
  return [...template.matchAll(placeholder)].map(([, mark, name]) => ({
    from: mark === '?' ? 'query' : 'path',
    name: name!,
  }));
}

/** The names of a route's parameters, `GET /api/pages/:id`. */
export function paramsOfRoute(route: string): string[] {
  return [...route.matchAll(/:([A-Za-z_][A-Za-z0-9_]*)/g)].map(([, name]) => name!);
}

/** The values of a route's parameters in a path that it matches, decoded; null where it does not match. */
export function readParams(route: string, path: string): Record<string, string> | null {
  const template = route.slice(route.indexOf(' ') + 1).split('/');
  const segments = path.split('/');
  const params: Record<string, string> = {};
  for (const [at, part] of template.entries()) {
    if (part === '*') return params;
    const segment = segments[at];
    if (segment === undefined) return null;
    if (!part.startsWith(':')) {
      if (part.toLowerCase() !== segment.toLowerCase()) return null;
      continue;
    }
    try {
      params[part.slice(1)] = decodeURIComponent(segment);
    } catch {
      return null;
    }
  }
  // A trailing slash makes no difference to the route.
  const rest = segments.slice(template.length);
  return rest.length === 0 || (rest.length === 1 && rest[0] === '') ? params : null;
}

/**
 * The path and query of a part: each placeholder in place of its value, encoded, so that no value can add a segment or a
 * parameter. Null where a value of the path is absent, empty, or one that servers read as a way up. One of the query that
 * is absent is empty.
 */
export function partTarget(template: string, params: Readonly<Record<string, string>>, query: string): string | null {
  const asked = new URLSearchParams(query);
  let impossible = false;
  const target = template.replace(placeholder, (_, mark: string, name: string) => {
    if (mark === '?') return encodeURIComponent(asked.get(name) ?? '');
    const value = Object.hasOwn(params, name) ? params[name]! : '';
    if (value === '' || value === '.' || value === '..' || /[/\\\0]/.test(value)) impossible = true;
    return encodeURIComponent(value);
  });
  return impossible ? null : target;
}
