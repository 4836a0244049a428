import { type Problem, problems } from '@strangler/platform/http/problem.ts';

/** The answer to a request that fits its schema and still asks for something impossible; of the same shape as a schema's. */
export function invalid(part: 'body' | 'query' | 'params', path: string, message: string): Problem {
  return problems.validation([{ in: part, path, message }]);
}
