import { createEndpoints } from '@strangler/platform/compare/endpoint.ts';
import { type CompareRules, compileRules } from '@strangler/platform/compare/rules.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { SentRequest } from '../http/side.ts';

/** The rules of a slice file as they hold for each request: those that name a route hold for that route alone. */
export function rulesOfSlice({
  compare,
  routes,
}: Pick<Slice, 'compare' | 'routes'>): (request: Pick<SentRequest, 'method' | 'path'>) => CompareRules {
  const endpoints = createEndpoints(routes);
  const compiled = new Map<string | null, CompareRules>();
  return ({ method, path }) => {
    const endpoint = endpoints.of(method, path);
    const rules = compiled.get(endpoint) ?? compileRules(compare, endpoint ?? undefined);
    compiled.set(endpoint, rules);
    return rules;
  };
}
