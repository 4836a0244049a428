import { aggregate } from './aggregate/aggregate-policy.ts';
import { cache } from './cache/cache-policy.ts';
import { compress } from './compress/compress-policy.ts';
import type { PolicyKind } from './kind.ts';
import { apiKeys } from './policies/api-keys.ts';
import { concurrency } from './policies/concurrency.ts';
import { cors } from './policies/cors.ts';
import { ip } from './policies/ip.ts';
import { jwt } from './policies/jwt.ts';
import { maintenance } from './policies/maintenance.ts';
import { rateLimit } from './policies/rate-limit.ts';
import { securityHeaders } from './policies/security-headers.ts';
import { size } from './policies/size.ts';
import { versions } from './versions/versions-policy.ts';

/** Every kind of policy, by the word that stands after `kind:` in the gateway file. */
export const kinds = {
  jwt,
  'api-keys': apiKeys,
  'rate-limit': rateLimit,
  concurrency,
  ip,
  cors,
  'security-headers': securityHeaders,
  maintenance,
  size,
  versions,
  compress,
  cache,
  aggregate,
} as const satisfies Record<string, { schema: PolicyKind['schema'] }>;

export type KindName = keyof typeof kinds;
