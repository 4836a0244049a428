import { z } from 'zod';

const methods = ['*', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** The name of a policy, or of whoever has a key. */
export const policyName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be 1 to 64 lower-case letters, digits and hyphens, starting with a letter');

/** A route of the gateway: as in a slice file, and `*` for every method. */
export const routeText = z
  .string()
  .regex(
    /^(\*|GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE) \/[^\s?#]*$/,
    `must be a method (${methods.join(', ')}), one space and a path, such as "* /api/*" or "GET /api/products/:id"`,
  )
  .refine((text) => !/\*./.test(text.slice(text.indexOf('/'))), 'may have * only as its last character')
  .describe('Method, `*` for every one, and path. `:name` stands for one segment, a last `*` for all that follows.');
