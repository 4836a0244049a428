import { aggregate } from './aggregate/aggregate-policy.ts';
import { cache } from './cache/cache-policy.ts';
import { compress } from './compress/compress-policy.ts';
import type { PolicyKind } from './kind.ts';
import { ip } from './policies/ip.ts';
import { versions } from './versions/versions-policy.ts';

/** Every kind of policy, by the word that stands after `kind:` in the gateway file. */
export const kinds = {
  aggregate,
  cache,
  compress,
  ip,
  versions,
} as const satisfies Record<string, { schema: PolicyKind['schema'] }>;

export type KindName = keyof typeof kinds;
